"""The losses of one or two models on the same windows, over all and by position."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from latentwave.bench.comparison.positions import position_edges


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over windows."""

    value: float  # nats per token; NaN where there was nothing to measure
    error: float  # its standard error over windows; NaN for a single window
    count: int  # predicted tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossBin:
    """Losses of the predictions that are made from `low` to `high` tokens."""

    low: int
    high: int
    losses: list[Mean]  # of each run, in their order
    # the first run minus the second, window by window; None for a single run
    difference: Mean | None


def losses_overall(losses: Sequence[Float[np.ndarray, "N L"]]) -> LossBin:
    """Losses of all predictions together; of each run, from `token_losses` on the same windows."""
    return LossBin(
        low=1,
        high=losses[0].shape[1],
        losses=[mean_over_windows(each) for each in losses],
        difference=mean_over_windows(losses[0] - losses[1]) if len(losses) == 2 else None,
    )


def losses_by_position(
    losses: Sequence[Float[np.ndarray, "N L"]], position_ids: Int[np.ndarray, "N L"]
) -> list[LossBin]:
    """Losses in ranges of positions that grow with the position; empty ranges are left out.

    `position_ids` are the place in its document of the last token that each prediction is made
    from.
    """
    bins = []
    for start, stop in itertools.pairwise(position_edges(int(position_ids.max()) + 1)):
        inside = (position_ids >= start) & (position_ids < stop)
        found = losses_overall([np.where(inside, each, np.nan) for each in losses])
        if found.losses[0].count:
            # A prediction after the token at position p is made from p + 1 tokens.
            bins.append(dataclasses.replace(found, low=start + 1, high=stop))
    return bins


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
