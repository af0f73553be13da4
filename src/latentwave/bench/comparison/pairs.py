"""Two contestants of a finished comparison, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from latentwave.bench.comparison.statistics import Estimate, estimate
from latentwave.errors import UserError


def compare_contestants(
    results: Mapping[str, Any], first: str, second: str, *, confidence: float = 0.95
) -> Estimate:
    """How much higher one contestant's final loss is than another's, paired seed by seed.

        mean over seeds of ( final loss of `first` − final loss of `second` )

    Both intervals of final losses may overlap though one contestant is better with every seed:
    what seeds differ by is in both. It is not in their differences.

    Args:
        results: the content of results.json.
        first: a contestant.
        second: another one.
        confidence: of the interval.

    Returns:
        The difference in nats, above 0 where `second` is better; without an interval for one seed
        or a run that diverged. If the interval holds 0, the comparison is undecided.

    Raises:
        UserError: if there is no such contestant.

    Example:
        >>> point = {"a": [2.0, 2.2], "b": [1.9, 2.1]}
        >>> results = {"contestants": {n: {"curve": [{"losses": l}]} for n, l in point.items()}}
        >>> round(compare_contestants(results, "a", "b").mean, 3)
        0.1
    """
    higher, lower = _final_losses(results, first), _final_losses(results, second)
    pairs = zip(higher, lower, strict=True)
    return estimate([a - b for a, b in pairs], confidence=confidence)


def _final_losses(results: Mapping[str, Any], name: str) -> list[float]:
    """One per seed, in the order of the seeds; NaN where a run diverged."""
    contestants = results["contestants"]
    if name not in contestants:
        raise UserError(f"the results have no contestant {name!r}, only {', '.join(contestants)}")
    losses = contestants[name]["curve"][-1]["losses"]
    return [math.nan if loss is None else float(loss) for loss in losses]
