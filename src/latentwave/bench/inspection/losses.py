"""Summarises the losses of one or two models on the same windows, overall and by position."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from latentwave.bench.comparison.positions import position_edges


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over windows."""

    value: float  # nats per token; NaN without any token
    error: float  # standard error over windows; NaN for a single window
    count: int  # predicted tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossBin:
    """Losses of predictions from `low` to `high` tokens of context."""

    low: int
    high: int
    losses: list[Mean]  # of each run
    difference: Mean | None  # the first run minus the second, if there are two


def losses_overall(losses: Sequence[Float[np.ndarray, "N L"]]) -> LossBin:
    """The mean losses of all predictions, from each run's `token_losses` on the same windows."""
    return LossBin(
        low=1,
        high=losses[0].shape[1],
        losses=[mean_over_windows(each) for each in losses],
        difference=mean_over_windows(losses[0] - losses[1]) if len(losses) == 2 else None,
    )


def losses_by_position(
    losses: Sequence[Float[np.ndarray, "N L"]], position_ids: Int[np.ndarray, "N L"]
) -> list[LossBin]:
    """Losses in ranges of positions, wider at later ones; empty ranges are left out.

    `position_ids` hold the position in its document of the last token that each prediction reads.
    """
    bins = []
    for start, stop in itertools.pairwise(position_edges(int(position_ids.max()) + 1)):
        inside = (position_ids >= start) & (position_ids < stop)
        found = losses_overall([np.where(inside, each, np.nan) for each in losses])
        if found.losses[0].count:
            # A prediction after the token at position p reads p + 1 tokens.
            bins.append(dataclasses.replace(found, low=start + 1, high=stop))
    return bins


def mean_over_windows(values: Float[np.ndarray, "N L"]) -> Mean:
    """The mean of all values that are not NaN, and its standard error over windows.

    Windows, not tokens, are taken as independent, so the error is that of a ratio of sums:

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
