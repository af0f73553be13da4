"""Two contestants of a finished comparison, seed by seed."""

from __future__ import annotations

import math

from latentwave.bench.comparison.results import Estimate, Results
from latentwave.bench.comparison.statistics import estimate
from latentwave.errors import UserError


def compare_contestants(
    results: Results, first: str, second: str, *, confidence: float = 0.95
) -> Estimate:
    """How much higher one contestant's final loss is than another's, paired seed by seed.

        mean over seeds of ( final loss of `first` − final loss of `second` )

    Both intervals of final losses may overlap though one contestant is better with every seed:
    what seeds differ by is in both. It is not in their differences.

    Args:
        results: of the comparison.
        first: a contestant.
        second: another one.
        confidence: of the interval.

    Returns:
        The difference in nats, above 0 where `second` is better; without an interval for one seed
        or a run that diverged. If the interval holds 0, the comparison is undecided.

    Raises:
        UserError: if there is no such contestant.
    """
    higher, lower = _final_losses(results, first), _final_losses(results, second)
    pairs = zip(higher, lower, strict=True)
    return estimate([a - b for a, b in pairs], confidence=confidence)


def _final_losses(results: Results, name: str) -> list[float]:
    """One per seed, in the order of the seeds; NaN where a run diverged."""
    contestants = results.contestants
    if name not in contestants:
        raise UserError(f"the results have no contestant {name!r}, only {', '.join(contestants)}")
    losses = contestants[name].curve[-1].losses
    return [math.nan if loss is None else loss for loss in losses]
