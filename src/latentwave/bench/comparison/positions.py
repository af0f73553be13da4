"""Where in the context, and on which windows, a model's predictions cost how much."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from transformers import PreTrainedModel

_IGNORED = -100


@torch.no_grad()
def token_losses(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> Float[np.ndarray, "N L"]:
    """The loss of every single prediction.

    Args:
        model: a causal language model; left in the mode that it was in.
        windows: N items of L + 1 tokens with input_ids and labels, as `GridWindows` gives them.
        batch_size: windows per forward pass.

    Returns:
        (N, L), float64, nats; entry (n, t) is for token t + 1 of window n, given tokens 0 … t.
        NaN where nothing is to be predicted (the label is masked).

    Raises:
        ValueError: for no windows, or a batch size below 1.
    """
    count = len(windows)  # type: ignore[arg-type]
    if count < 1 or batch_size < 1:
        raise ValueError(
            f"windows and batch_size must be at least 1, got {count} and batch_size={batch_size}"
        )
    training = model.training
    model.train(False)
    parts = []
    for first in range(0, count, batch_size):
        batch = default_collate([windows[i] for i in range(first, min(first + batch_size, count))])
        labels = batch.pop("labels")[:, 1:]
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        losses = F.cross_entropy(
            logits.transpose(1, 2),
            labels.to(logits.device),
            reduction="none",
            ignore_index=_IGNORED,
        )
        parts.append(losses.double().cpu().masked_fill(labels == _IGNORED, float("nan")).numpy())
    model.train(training)
    return np.concatenate(parts)


def loss_by_position(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> Float[np.ndarray, " L"]:
    """The mean loss at each place of the context.

    Args:
        model: a causal language model; left in the mode that it was in.
        windows: items of L + 1 tokens with input_ids and labels, as `GridWindows` gives them.
        batch_size: windows per forward pass.

    Returns:
        (L,), float64, nats: entry t is the mean over windows of the loss of token t + 1, which
        is predicted from tokens 0 … t. NaN at a place where no window predicts anything. Without
        masked labels the mean over places is `evaluate_loss` to rounding.

    Raises:
        ValueError: for no windows, or a batch size below 1.
    """
    losses = token_losses(model, windows, batch_size)
    counted = ~np.isnan(losses)
    with np.errstate(invalid="ignore"):
        mean: Float[np.ndarray, " L"] = np.where(counted, losses, 0.0).sum(0) / counted.sum(0)
    return mean


def position_edges(num_positions: int, per_octave: int = 2) -> list[int]:
    """Borders of bins of positions, whose widths grow like the positions themselves.

    Args:
        num_positions: L.
        per_octave: bins from one power of two to the next.

    Returns:
        Ascending borders from 0 to L; bin i holds the positions edges[i] ≤ t < edges[i + 1].

    Raises:
        ValueError: for numbers below 1.

    Example:
        >>> position_edges(31)
        [0, 1, 2, 3, 5, 7, 10, 15, 22, 31]
    """
    if num_positions < 1 or per_octave < 1:
        raise ValueError(
            "num_positions and per_octave must be >= 1, got "
            f"num_positions={num_positions}, per_octave={per_octave}"
        )
    # Position t is predicted from t + 1 tokens, and these are counted from 1.
    edges, step = {0, num_positions}, 0
    while (border := round(2 ** (step / per_octave)) - 1) < num_positions:
        edges.add(border)
        step += 1
    return sorted(edges)
