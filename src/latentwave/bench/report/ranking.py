"""Which contestant a report is about, and which ones its figures draw in colour."""

from __future__ import annotations

import math
from typing import Any

from latentwave.bench.report.results import others
from latentwave.bench.training import BASELINE

MOST_IN_COLOUR = 8  # contestants beside the baseline that lines can still be told apart of
_BEST_IN_COLOUR = 5  # where there are more


def candidates(results: dict[str, Any]) -> list[str]:
    """The contestants that a finding can be about: not those that others are measured against."""
    contestants = results["contestants"]
    baselines = {own["baseline"] for own in contestants.values()}
    return [name for name in others(results) if name not in baselines]


def best(results: dict[str, Any]) -> str | None:
    """The contestant with the largest speed-up in steps, among those that reach their baseline.

    If none reaches its baseline's final loss with every seed, the one with the lowest final loss.
    """
    contestants = results["contestants"]
    return min(candidates(results), key=lambda name: _rank(contestants[name]), default=None)


def slots(results: dict[str, Any]) -> dict[str, int | None]:
    """The place of each contestant among those in colour: −1 for the baseline, None for grey.

    Up to eight contestants are all in colour, of more the best one, what others are measured
    against, and then those of the lowest final loss.
    """
    names, contestants = others(results), results["contestants"]
    chosen = names
    if len(names) > MOST_IN_COLOUR:
        subject, able = best(results), candidates(results)

        def order(name: str) -> tuple[bool, bool, float]:
            loss = contestants[name]["final_loss"]["mean"]
            return name != subject, name in able, math.inf if loss is None else loss

        some = sorted(names, key=order)[:_BEST_IN_COLOUR]
        chosen = [name for name in names if name in some]
    places: dict[str, int | None] = dict.fromkeys(contestants)
    places |= {name: slot for slot, name in enumerate(chosen)}
    return places | {BASELINE: -1}


def _rank(contestant: dict[str, Any]) -> tuple[bool, float, float]:
    speedup = contestant["speedup"]["steps"]["mean"]
    loss = contestant["final_loss"]["mean"]
    reached = contestant["reached"]
    by_speed = -speedup if reached and speedup is not None else math.inf
    return not reached, by_speed, math.inf if loss is None else loss
