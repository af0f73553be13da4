"""Which wavelet level each mixed channel has."""

from __future__ import annotations

from collections.abc import Sequence

from latentwave.functional.families import cascade_length, deepest_level, orthogonal_lowpass


def channel_levels(
    num_mixed: int,
    context_length: int,
    *,
    wavelet: str,
    num_levels: int | None,
    level: int | None,
    schedule: Sequence[int] | None,
) -> list[int]:
    """The level of each mixed channel: k(j) = 1 + ⌊j·K / C⌋, one level, or a schedule.

    Args:
        num_mixed: C.
        context_length: L, the tokens that the longest kernel may span.
        wavelet: the name of an orthogonal wavelet.
        num_levels: K; default the deepest level whose kernel fits.
        level: one level for all channels.
        schedule: an explicit level for each channel.

    Raises:
        ValueError: for an unknown wavelet, more than one of the options, or a level whose
            kernel does not fit.

    Example:
        >>> channel_levels(
        ...     4, 16, wavelet="haar", num_levels=None, level=None, schedule=None
        ... )
        [1, 2, 3, 4]
    """
    if sum(option is not None for option in (num_levels, level, schedule)) > 1:
        raise ValueError(
            "num_levels, level and schedule exclude each other, got "
            f"num_levels={num_levels}, level={level}, schedule={schedule}"
        )
    filter_length = len(orthogonal_lowpass(wavelet))
    deepest = deepest_level(filter_length, context_length)
    if deepest < 1:
        raise ValueError(
            f"context_length must be >= {filter_length} for a level of the wavelet {wavelet!r} "
            f"({filter_length} taps), got {context_length}"
        )
    if schedule is not None:
        name, levels = "level", [int(k) for k in schedule]
        if len(levels) != num_mixed:
            raise ValueError(
                f"schedule must give a level for each of the {num_mixed} mixed channels, "
                f"got {len(levels)}"
            )
    elif level is not None:
        name, levels = "level", [level] * num_mixed
    else:
        name = "num_levels"
        K = deepest if num_levels is None else num_levels
        levels = [K, *(1 + j * K // num_mixed for j in range(num_mixed))]
    for k in levels:
        if not 1 <= k <= deepest:
            spans = (
                "" if k < 1 else f", whose kernel spans {cascade_length(filter_length, k)} tokens"
            )
            raise ValueError(
                f"{name} must be between 1 and {deepest} for the wavelet {wavelet!r} (longer "
                f"kernels do not fit into the context length {context_length}), got {k}{spans}"
            )
    return levels if name == "level" else levels[1:]
