"""Reads the comparisons of `results/` and checks their numbers against their loss curves.

What `latentwave compare` derives from the curves is derived again, so a `results.json` that was
edited by hand or is older than its curves is refused. Parameters, FLOPs per token, step durations
and the metrics of finished models do not follow from curves and are taken as recorded.
"""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from latentwave.bench.comparison import Results, derive, read_results
from latentwave.errors import UserError

_ROUNDING = 1e-6


@functools.cache
def read_checked(folder: Path) -> Results:
    """Read the results.json in a folder and check it against its curves.

    Raises:
        UserError: if results.json is missing or damaged, or differs from its curves; the message
            names the file, the number and both values.
    """
    results = read_results(folder)
    clock = None if results.clock is None else results.clock.step_seconds
    for name, contestant in results.contestants.items():
        baseline, units = results.baseline_of(name).curve, results.corpus.units_per_token
        found = derive(contestant.curve, baseline, units)
        pairs = list(_leaves(f"contestants.{name}", contestant, found))
        for index, point in enumerate(contestant.curve):
            losses = [math.nan if loss is None else loss for loss in point.losses]
            mean = math.fsum(losses) / len(losses)
            computed = {"loss": mean, "flops": point.tokens * contestant.flops_per_token}
            if clock is not None:
                computed["seconds"] = point.steps * clock[name].median
            pairs += _leaves(f"contestants.{name}.curve.{index}", point, computed)
        for place, stored, derived in pairs:
            if not _close(stored, derived):
                raise UserError(
                    f"{folder / 'results.json'}: {place} is {stored}, but its curves give "
                    f"{derived}; run the comparison's command again instead of editing its results"
                )
    return results


def _leaves(place: str, stored: Any, computed: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(computed, BaseModel | dict):
        for key, value in dict(computed).items():
            yield from _leaves(f"{place}.{key}", dict(stored).get(key), value)
    else:
        yield place, stored, computed


def _close(stored: float | None, computed: float | None) -> bool:
    ours, theirs = (math.nan if x is None else float(x) for x in (stored, computed))
    both_missing = math.isnan(ours) and math.isnan(theirs)
    return both_missing or math.isclose(ours, theirs, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
