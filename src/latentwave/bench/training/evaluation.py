"""The loss of a finished model, and finding that model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, default_collate
from transformers import PreTrainedModel

from latentwave.bench.data import Codec, load_codec
from latentwave.bench.training.processes import num_processes, on_all, rank
from latentwave.bench.training.quiet import quiet_transformers
from latentwave.errors import UserError
from latentwave.hub import from_pretrained


@torch.no_grad()
def evaluate_loss(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> float:
    """Mean next-token loss over windows; processes that train together share the work.

    Every window counts once, by its predicted tokens, whatever the number of processes.

    Args:
        model: a causal language model; left in the mode that it was in.
        windows: items with input_ids and labels, as `GridWindows` gives them.
        batch_size: windows per forward pass of one process.

    Returns:
        Nats per predicted token, the same on every process.
    """
    training = model.training
    model.train(False)
    total, tokens = 0.0, 0
    count, step = len(windows), batch_size * num_processes()  # type: ignore[arg-type]
    for first in range(0, count, step):
        own = range(count)[first + rank() * batch_size :][:batch_size]
        # A process without windows of its own runs one for nothing: sharded models need all.
        batch = default_collate([windows[index] for index in own or [0]])
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        loss = float(model(**inputs, use_cache=False).loss)
        predicted = int((batch["labels"][:, 1:] != -100).sum())
        if own and predicted:
            total, tokens = total + loss * predicted, tokens + predicted
    model.train(training)
    parts = on_all(lambda: (total, tokens))
    return sum(part for part, _ in parts) / sum(part for _, part in parts)


def load_run(folder: Path) -> tuple[PreTrainedModel, Codec]:
    """The model of a finished run, and what its tokens mean.

    Args:
        folder: of a run, or of any model saved with mixers and a codec.

    Raises:
        UserError: if there is no model; names the runs below the folder if it holds some.
    """
    model_folder = folder / "model" if (folder / "model").is_dir() else folder
    if not (model_folder / "config.json").is_file():
        runs = sorted(str(path.parent) for path in folder.glob("*/model"))
        hint = f"; its finished runs are: {', '.join(runs)}" if runs else ""
        raise UserError(f"{folder} holds no trained model{hint}")
    with quiet_transformers():
        model = from_pretrained(model_folder)
    return model, load_codec(model_folder)
