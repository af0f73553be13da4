"""The wavelet level of each mixed channel."""

from collections.abc import Sequence
from typing import Literal

from latentwave.functional.families import deepest_level, orthogonal_lowpass

Schedule = Sequence[int] | Literal["halving"]


def channel_levels(
    num_mixed: int,
    context_length: int,
    *,
    wavelet: str = "haar",
    num_levels: int | None = None,
    level: int | None = None,
    schedule: Schedule | None = None,
) -> list[int]:
    """The level of each mixed channel.

        k(j) = 1 + ⌊j·K / C⌋                      the same number of channels for every level
        k(j) = min(K, 1 + ⌊log2 (C / (C − j))⌋)   "halving": half as many at each further level

    or one level for all, or channel j gets number ⌊j·n / C⌋ of a list of n levels. `WaveletMixer`
    describes the options.

    Raises:
        ValueError: for an unknown wavelet or schedule, more than one of the options (except
            num_levels with "halving"), or a level whose kernel does not fit.

    Example:
        >>> channel_levels(4, 16)
        [1, 2, 3, 4]
        >>> channel_levels(8, 16, num_levels=3, schedule="halving")
        [1, 1, 1, 1, 2, 2, 3, 3]
    """
    halving = isinstance(schedule, str)
    if halving and schedule != "halving":
        raise ValueError(f'schedule must be "halving" or a list of levels, got {schedule!r}')
    num_given = sum(option is not None for option in (num_levels, level, schedule))
    if num_given > 1 and not (halving and level is None):
        raise ValueError(
            'pass only one of num_levels, level and schedule ("halving" may be combined with '
            "num_levels), got "
            f"num_levels={num_levels}, level={level}, schedule={schedule}"
        )
    filter_length = len(orthogonal_lowpass(wavelet))
    deepest = deepest_level(filter_length, context_length)
    if deepest < 1:
        raise ValueError(
            f"context_length must be >= {filter_length} for a level of the wavelet {wavelet!r} "
            f"({filter_length} taps), got {context_length}"
        )
    if schedule is not None and not halving:
        if not 1 <= len(schedule) <= num_mixed:
            raise ValueError(
                f"schedule must have 1 to {num_mixed} levels for the {num_mixed} mixed channels, "
                f"got {len(schedule)}"
            )
        name, requested = "level", [int(each) for each in schedule]
    elif level is not None:
        name, requested = "level", [level]
    else:
        name, requested = "num_levels", [deepest if num_levels is None else num_levels]
    for k in requested:
        if not 1 <= k <= deepest:
            raise ValueError(
                f"{name} must be between 1 and {deepest} for the wavelet {wavelet!r} (longer "
                f"kernels do not fit into the context length {context_length}), got {k}"
            )
    if name == "level":
        return [requested[j * len(requested) // num_mixed] for j in range(num_mixed)]
    (K,) = requested
    if halving:
        # bit_length of an integer is 1 + ⌊log2⌋, free of rounding.
        return [min(K, (num_mixed // left).bit_length()) for left in range(num_mixed, 0, -1)]
    return [1 + j * K // num_mixed for j in range(num_mixed)]


def dyadic_levels(num_levels: int | None, context_length: int, default: int | None = None) -> int:
    """The number of windows of 2, 4, … tokens; default: all that fit, or at most `default`.

    Raises:
        ValueError: if they do not fit into the context, or none does.

    Example:
        >>> dyadic_levels(None, 16), dyadic_levels(None, 16, default=3), dyadic_levels(2, 16)
        (4, 3, 2)
    """
    deepest = context_length.bit_length() - 1
    if deepest < 1:
        raise ValueError(f"context_length must be >= 2 for an average, got {context_length}")
    if num_levels is None:
        num_levels = deepest if default is None else min(default, deepest)
    if not 1 <= num_levels <= deepest:
        raise ValueError(
            f"num_levels must be between 1 and {deepest} (2^num_levels tokens within the context "
            f"length {context_length}), got {num_levels}"
        )
    return num_levels
