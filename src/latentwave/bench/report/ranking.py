"""Which contestant a report is about, and which ones its figures draw in colour."""

from __future__ import annotations

import math

from latentwave.bench.comparison.results import ContestantResults, Results
from latentwave.bench.report.charts import BASELINE_SLOT
from latentwave.bench.training import BASELINE

MOST_IN_COLOUR = 8
"""The most contestants a figure can show in distinguishable colours, beside the baseline."""
_BEST_IN_COLOUR = 5  # where there are more


def baseline_first(results: Results) -> dict[str, ContestantResults]:
    """All contestants, the plain baseline before the others."""
    return {name: results.contestants[name] for name in (BASELINE, *results.others)}


def candidates(results: Results) -> list[str]:
    """The contestants that a finding can be about: not those that others are measured against."""
    baselines = {own.baseline for own in results.contestants.values()}
    return [name for name in results.others if name not in baselines]


def best(results: Results) -> str | None:
    """The contestant with the largest speed-up in steps, among those that reach their baseline.

    If none reaches its baseline's final loss with every seed, the one with the lowest final loss.
    """

    def rank(name: str) -> tuple[bool, float, float]:
        own = results.contestants[name]
        speedup = own.speedup.steps.mean
        by_speed = -speedup if own.reached and speedup is not None else math.inf
        return not own.reached, by_speed, _final(own)

    return min(candidates(results), key=rank, default=None)


def slots(results: Results) -> dict[str, int | None]:
    """The place of each contestant among those in colour; None for grey.

    Up to eight contestants are all in colour; of more, the best one, what others are measured
    against, and then those of the lowest final loss.
    """
    chosen = names = results.others
    if len(names) > MOST_IN_COLOUR:
        subject, able = best(results), candidates(results)

        def order(name: str) -> tuple[bool, bool, float]:
            return name != subject, name in able, _final(results.contestants[name])

        some = sorted(names, key=order)[:_BEST_IN_COLOUR]
        chosen = [name for name in names if name in some]
    places: dict[str, int | None] = dict.fromkeys(names)
    places |= {name: slot for slot, name in enumerate(chosen)}
    return {BASELINE: BASELINE_SLOT} | places


def _final(own: ContestantResults) -> float:
    return math.inf if own.final_loss.mean is None else own.final_loss.mean
