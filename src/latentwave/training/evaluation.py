"""The loss of a finished model, and finding that model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from latentwave.data import Codec, load_codec
from latentwave.errors import UserError
from latentwave.hub import from_pretrained


@torch.no_grad()
def evaluate_loss(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> float:
    """Mean next-token loss over windows of equal length.

    Args:
        model: a causal language model; left in the mode that it was in.
        windows: items with input_ids and labels, as `GridWindows` gives them.
        batch_size: windows per forward pass.

    Returns:
        Nats per predicted token.
    """
    training = model.training
    model.train(False)
    total, count = 0.0, 0
    for batch in DataLoader(windows, batch_size=batch_size):
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        size = len(inputs["input_ids"])
        total += float(model(**inputs, use_cache=False).loss) * size
        count += size
    model.train(training)
    return total / count


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
    model = from_pretrained(model_folder)
    return model, load_codec(model_folder)
