"""The losses of one or two models on the same windows, by position and by class of token."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

from latentwave.bench.comparison.positions import position_edges
from latentwave.bench.inspection.token_classes import Grouping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over windows.

    Attributes:
        value: nats per token; NaN where there was nothing to measure.
        error: its standard error over windows; NaN for a single window.
        count: predicted tokens.
    """

    value: float
    error: float
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossBin:
    """Losses of one range of positions or one class of tokens.

    Attributes:
        name: of the class, or the range of positions.
        low: first position, counted as the tokens that a prediction is made from; 0 for a class.
        high: last position; 0 for a class.
        losses: of each run, in their order.
        difference: the first run minus the second, window by window; None for a single run.
    """

    name: str
    low: int = 0
    high: int = 0
    losses: list[Mean]
    difference: Mean | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossTable:
    """Losses by one way of sorting tokens.

    Attributes:
        title: what the bins are.
        bins: in order.
    """

    title: str
    bins: list[LossBin]


def mean_over_windows(values: Float[np.ndarray, "N L"]) -> Mean:
    """The mean of all values that are not NaN, and its standard error over windows.

    Tokens of one window are alike, so windows are what is counted as independent: the error is
    that of a ratio of sums over windows.

        m = Σ_n s_n / Σ_n c_n,   error² = N / (N − 1) · Σ_n (s_n − m c_n)² / (Σ_n c_n)²

    with the sum s_n and the number c_n of the values of window n.

    Example:
        >>> mean_over_windows(np.array([[1.0, 3.0], [4.0, np.nan]]))
        Mean(value=2.6666666666666665, error=0.8888888888888888, count=3)
    """
    counted = ~np.isnan(values)
    sums, counts = np.where(counted, values, 0.0).sum(axis=1), counted.sum(axis=1)
    total, windows = int(counts.sum()), int((counts > 0).sum())
    if not total:
        return Mean(value=float("nan"), error=float("nan"), count=0)
    mean = float(sums.sum() / total)
    if windows < 2:
        return Mean(value=mean, error=float("nan"), count=total)
    spread = float(((sums - mean * counts) ** 2).sum())
    error = float(np.sqrt(windows / (windows - 1) * spread) / total)
    return Mean(value=mean, error=error, count=total)


def losses_overall(losses: list[Float[np.ndarray, "N L"]]) -> LossBin:
    """Losses of all predictions together.

    Args:
        losses: of each run, from `token_losses` on the same windows.
    """
    return _bin("all", losses)


def losses_by_position(
    losses: list[Float[np.ndarray, "N L"]], position_ids: Int[np.ndarray, "N L"] | None = None
) -> LossTable:
    """Losses in bins of positions that grow with the position.

    Args:
        losses: of each run, from `token_losses` on the same windows.
        position_ids: (N, L), the place in its document of each last token that a prediction is
            made from, where the documents of a window do not see each other; None: a window is
            one document.

    Returns:
        Bins without those that hold no prediction.
    """
    if position_ids is None:
        position_ids = np.broadcast_to(np.arange(losses[0].shape[1]), losses[0].shape)
    edges = position_edges(losses[0].shape[1])
    bins = []
    for start, stop in itertools.pairwise(edges):
        # A prediction after the token at position p is made from p + 1 tokens.
        name = f"{start + 1}" if stop == start + 1 else f"{start + 1}–{stop}"
        chosen = (start <= position_ids) & (position_ids < stop)
        parts = [np.where(chosen, each, np.nan) for each in losses]
        if not np.isnan(parts[0]).all():
            bins.append(_bin(name, parts, low=start + 1, high=stop))
    return LossTable(title="tokens that the prediction is made from", bins=bins)


def losses_by_class(losses: list[Float[np.ndarray, "N L"]], grouping: Grouping) -> LossTable:
    """Losses by class of the predicted token.

    Args:
        losses: of each run, from `token_losses` on the same windows.
        grouping: the class of each of their tokens.
    """
    bins = []
    for index, name in enumerate(grouping.classes):
        chosen = grouping.members == index
        parts = [np.where(chosen, each, np.nan) for each in losses]
        bins.append(_bin(name, parts))
    return LossTable(title=grouping.title, bins=bins)


def _bin(name: str, parts: list[Float[np.ndarray, "N L"]], low: int = 0, high: int = 0) -> LossBin:
    difference = mean_over_windows(parts[0] - parts[1]) if len(parts) == 2 else None
    return LossBin(
        name=name,
        low=low,
        high=high,
        losses=[mean_over_windows(part) for part in parts],
        difference=difference,
    )
