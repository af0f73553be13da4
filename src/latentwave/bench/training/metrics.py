"""How many classes a classifier gets right."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from latentwave.errors import UserError


def classification_metrics(
    logits: Float[Tensor, "N C"], labels: Shaped[Tensor, " N"] | Shaped[Tensor, "N C"]
) -> dict[str, float]:
    """Accuracy, or for several labels per document the macro mean average precision.

    The mean is over the classes that some document has: without one there is no precision.

    Args:
        logits: (N, classes).
        labels: (N,) classes, or (N, classes) of 0 and 1.

    Returns:
        "accuracy" in [0, 1], or "map" in [0, 1] (NaN without any positive label).

    Raises:
        UserError: if the extra `tasks` is not installed.

    Example:
        >>> import torch
        >>> classification_metrics(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1]))
        {'accuracy': 0.5}
        >>> scores = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
        >>> round(classification_metrics(scores, torch.tensor([[0, 0], [1, 0], [1, 0]]))["map"], 4)
        0.5833
    """
    functional = require_metrics()
    if labels.dim() == 1:
        accuracy = functional.multiclass_accuracy
        return {"accuracy": float(accuracy(logits, labels, logits.shape[1], average="micro"))}
    # Sigmoids of large logits are all 1: ranks are taken of the logits, scaled into [0, 1].
    scores = logits.double()
    scores = (scores - scores.min()) / (scores.max() - scores.min()).clamp(min=1e-12)
    truth = labels.long()
    precisions = [
        float(functional.binary_average_precision(scores[:, index], truth[:, index]))
        for index in truth.any(dim=0).nonzero().flatten()
    ]
    return {"map": sum(precisions) / len(precisions) if precisions else float("nan")}


def require_metrics() -> Any:
    """Torchmetrics' functions for classification.

    Raises:
        UserError: if the extra `tasks` is not installed.
    """
    try:
        from torchmetrics.functional import classification
    except ImportError as error:
        raise UserError(
            "classifiers cannot be measured without torchmetrics: pip install 'latentwave[tasks]'"
        ) from error
    return classification
