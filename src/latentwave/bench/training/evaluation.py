"""The loss of a finished model, and finding that model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, default_collate
from transformers import PreTrainedModel

from latentwave.bench.data import Codec, load_codec
from latentwave.bench.training.files import MANIFEST, MODEL, RESULT, find_fault
from latentwave.bench.training.processes import num_processes, on_all, rank
from latentwave.bench.training.progress import quiet_transformers
from latentwave.bench.training.result import read_result
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

    Raises:
        UserError: if no token is predicted.
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
    tokens = sum(part for _, part in parts)
    if not tokens:
        raise UserError(
            "there is nothing to predict: no token has one before it in its document; use longer "
            "documents, or separate_documents false"
        )
    return sum(part for part, _ in parts) / tokens


def model_folder(folder: Path) -> Path:
    """Where the model lies: in the folder of a run, or in this folder itself.

    Raises:
        UserError: if there is none, or the run diverged; names the runs below the folder if it
            holds some.
    """
    if (folder / RESULT).exists():
        diverged_at = read_result(folder).diverged_at
        if diverged_at is not None:
            raise UserError(
                f"the run {folder} diverged at step {diverged_at} and has no model: train it with "
                "a lower learning rate"
            )
    found = folder / MODEL if (folder / MODEL).is_dir() else folder
    if not (found / "config.json").exists():
        runs = sorted(str(path.parent) for path in folder.glob(f"*/{MODEL}"))
        hint = f"; its finished runs are: {', '.join(runs)}" if runs else ""
        raise UserError(f"{folder} holds no trained model{hint}")
    return found


def load_run(folder: Path) -> tuple[PreTrainedModel, Codec]:
    """The model of a finished run, and what its tokens mean.

    Args:
        folder: of a run, or of any model saved with mixers and a codec.

    Raises:
        UserError: if there is no model, its files are not those that the run wrote, or its
            weights are not finite.
    """
    found = model_folder(folder)
    if found != folder or (found / MANIFEST).exists():
        fault = find_fault(found)
        if fault is not None:
            raise UserError(
                f"the model of {folder} is damaged ({fault}): train it on with --resume, which "
                "makes the model again"
            )
    with quiet_transformers():
        model = from_pretrained(found)
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise UserError(
            f"the weights in {found} are not all finite: they are damaged, or of a run that "
            "diverged; train it with a lower learning rate"
        )
    return model, load_codec(found)
