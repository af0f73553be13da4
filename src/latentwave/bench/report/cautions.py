"""What a reader must know before believing a number."""

from __future__ import annotations

from latentwave.bench.comparison import highest_coverage, seeds_needed
from latentwave.bench.comparison.results import Results
from latentwave.bench.report.formats import join_words

_CONFIDENCE = 0.95
_MOST_BUSY_CORES = 0.25


def seeds_caution(num_seeds: int) -> str:
    """What so few seeds can show; nothing where there are enough.

    Example:
        >>> seeds_caution(3)
        '3 seeds: these intervals hold the true value at most 75 % of the time, not 95 %; that \
takes 6 seeds.'
        >>> seeds_caution(6)
        ''
    """
    needed = seeds_needed(_CONFIDENCE)
    if num_seeds >= needed:
        return ""
    if num_seeds == 1:
        return (
            f"One seed: no interval, so what it shows may be luck; intervals of 95 % take {needed} "
            "seeds."
        )
    share = f"{100 * highest_coverage(num_seeds):.0f} %"
    return (
        f"{num_seeds} seeds: these intervals hold the true value at most {share} of the time, not "
        f"95 %; that takes {needed} seeds."
    )


def cautions(results: Results) -> list[str]:
    """What else makes numbers of this comparison doubtful, a sentence each."""
    found = []
    busy = None if results.clock is None else results.clock.busy_cores
    if busy is not None and busy > _MOST_BUSY_CORES:
        found.append(
            f"The machine was busy while the steps were timed (others kept {busy:.1f} cores busy): "
            "seconds are doubtful. Time them again on an idle one: compare … --resume "
            "--time_again."
        )
    ends = [name for name, own in results.tuning.items() if own.at_end_of_grid]
    if ends:
        found.append(
            f"The learning rate chosen for {join_words(ends)} lies at an end of the grid: a better "
            "one may lie outside."
        )
    searched = min((own.num_steps for own in results.tuning.values()), default=0)
    trained = max(own.num_steps for own in results.contestants.values())
    if results.tuning and searched < trained:
        found.append(
            f"Learning rates were searched in runs of {searched:,} steps, for runs of "
            f"{trained:,}: short runs favour higher rates."
        )
    return found
