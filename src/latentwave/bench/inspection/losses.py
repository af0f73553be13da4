"""The losses of one or two models on the same windows, by position and by class of token."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

from latentwave.bench.comparison.positions import position_edges


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouping:
    """One way to sort predicted tokens."""

    title: str  # what the groups are
    names: list[str]  # of the groups
    members: Int[np.ndarray, "N L"]  # the group of each predicted token
    # first and last position of each group; empty for groups that are no positions
    ranges: list[tuple[int, int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over windows."""

    value: float  # nats per token; NaN where there was nothing to measure
    error: float  # its standard error over windows; NaN for a single window
    count: int  # predicted tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossBin:
    """Losses of one group of tokens."""

    name: str  # of the group
    low: int = 0  # first position, counted as the tokens a prediction is made from; 0 for a class
    high: int = 0  # last position; 0 for a class
    losses: list[Mean]  # of each run, in their order
    # the first run minus the second, window by window; None for a single run
    difference: Mean | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossTable:
    """Losses by one way of sorting tokens."""

    title: str  # what the bins are
    bins: list[LossBin]


def losses_overall(losses: list[Float[np.ndarray, "N L"]]) -> LossBin:
    """Losses of all predictions together; of each run, from `token_losses` on the same windows."""
    return _bin("all", losses, (0, 0))


def losses_by(losses: list[Float[np.ndarray, "N L"]], grouping: Grouping) -> LossTable:
    """Losses by group of the predicted token, of the same windows; empty groups are left out."""
    ranges = grouping.ranges or [(0, 0)] * len(grouping.names)
    bins = [
        _bin(name, [np.where(grouping.members == index, each, np.nan) for each in losses], range_)
        for index, (name, range_) in enumerate(zip(grouping.names, ranges, strict=True))
    ]
    return LossTable(title=grouping.title, bins=[each for each in bins if each.losses[0].count])


def group_positions(position_ids: Int[np.ndarray, "N L"]) -> Grouping:
    """Predicted tokens by position, in ranges that grow with the position.

    `position_ids` are the place in its document of the last token that each prediction is made
    from.
    """
    edges = position_edges(int(position_ids.max()) + 1)
    # A prediction after the token at position p is made from p + 1 tokens.
    ranges = [(start + 1, stop) for start, stop in itertools.pairwise(edges)]
    return Grouping(
        title="tokens that the prediction is made from",
        names=[f"{low}" if low == high else f"{low}–{high}" for low, high in ranges],
        members=np.digitize(position_ids, edges) - 1,
        ranges=ranges,
    )


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
    counts = (~np.isnan(values)).sum(axis=1)
    sums = np.nansum(values, axis=1)
    total, windows = int(counts.sum()), int((counts > 0).sum())
    mean = float(sums.sum() / total) if total else float("nan")
    if windows < 2:
        return Mean(value=mean, error=float("nan"), count=total)
    spread = float(((sums - mean * counts) ** 2).sum())
    error = float(np.sqrt(windows / (windows - 1) * spread) / total)
    return Mean(value=mean, error=error, count=total)


def _bin(name: str, losses: list[Float[np.ndarray, "N L"]], range_: tuple[int, int]) -> LossBin:
    return LossBin(
        name=name,
        low=range_[0],
        high=range_[1],
        losses=[mean_over_windows(each) for each in losses],
        difference=mean_over_windows(losses[0] - losses[1]) if len(losses) == 2 else None,
    )
