"""Summarises the losses of one or two models on the same windows, by position and by repeats."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Integer

from latentwave.bench.comparison.positions import position_edges


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over windows."""

    value: float  # nats per token; NaN without any token
    error: float  # standard error over windows; NaN for a single window
    count: int  # predicted tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossBin:
    """Losses of predictions from `low` to `high` tokens: all that they read, or a repeat."""

    low: int
    high: int
    losses: list[Mean]  # of each run
    difference: Mean | None  # the first run minus the second, if there are two

    @property
    def tokens(self) -> str:
        """The range, such as "4–7", or its only number."""
        return f"{self.low}" if self.low == self.high else f"{self.low}–{self.high}"


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
    edges = position_edges(int(position_ids.max()) + 1)
    # A prediction after the token at position p reads p + 1 tokens.
    return [
        dataclasses.replace(each, low=each.low + 1, high=each.high + 1)
        for each in _binned(losses, position_ids, edges)
    ]


def losses_by_repeat(
    losses: Sequence[Float[np.ndarray, "N L"]], repeats: Int[np.ndarray, "N L"]
) -> list[LossBin]:
    """Losses by `repeat_lengths`: none, one token, then a bin for each octave.

    What a model gains at long repeats it gains by copying what followed the earlier place.
    """
    octaves = int(repeats.max()).bit_length()
    return _binned(losses, repeats, [0, *(2**octave for octave in range(octaves + 1))])


def repeat_lengths(
    tokens: Integer[np.ndarray, "N L"], position_ids: Int[np.ndarray, "N L"]
) -> Int[np.ndarray, "N L"]:
    """How many tokens, up to and with each, its document has had before in the same order.

    The length of the longest suffix of tokens[n, : t + 1] that also ends at an earlier token of
    the document; the two may overlap. Documents begin where `position_ids` are 0.

    Example:
        >>> text = np.frombuffer(b"a cat, a cat", np.uint8)[None]
        >>> repeat_lengths(text, np.arange(12)[None])
        array([[0, 0, 0, 1, 0, 0, 1, 1, 2, 3, 4, 5]])
    """
    lengths, ends = np.zeros(tokens.shape, int), np.arange(tokens.shape[1])
    common = np.zeros(tokens.shape, int)  # of the suffixes that end at t and at each token
    for t in range(tokens.shape[1]):
        common[:, 1:] = common[:, :-1] + 1
        common[:, 0] = 1
        common[position_ids == 0] = 1
        common *= tokens == tokens[:, t : t + 1]
        inside = (ends < t) & (ends >= t - position_ids[:, t : t + 1])
        lengths[:, t] = np.max(common * inside, axis=1)
    return lengths


def _binned(
    losses: Sequence[Float[np.ndarray, "N L"]], values: Int[np.ndarray, "N L"], edges: list[int]
) -> list[LossBin]:
    """Losses of the predictions whose value lies between two edges; empty bins are left out."""
    bins = []
    for start, stop in itertools.pairwise(edges):
        inside = (values >= start) & (values < stop)
        found = losses_overall([np.where(inside, each, np.nan) for each in losses])
        if found.losses[0].count:
            bins.append(dataclasses.replace(found, low=start, high=stop - 1))
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
