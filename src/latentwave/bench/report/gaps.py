"""How far contestants are ahead of their baselines while they train: does a gain last?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentwave.bench.report.curves import choose_unit
from latentwave.bench.report.formats import format_gain
from latentwave.bench.report.ranking import slots
from latentwave.bench.report.results import loss_unit, others

_START = 0.12  # of the axis: before that, seeds lie far apart


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One contestant's baseline's loss less its own.

    Attributes:
        name: the contestant.
        slot: see `Curve`.
        x: tokens at each evaluation, in the axis' unit.
        mean: over seeds, nats.
        low: of the lowest seed.
        high: of the highest seed.
        final: the last mean as text.
    """

    name: str
    slot: int | None
    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    final: str


@dataclass(frozen=True, kw_only=True)
class GapPanel:
    """The gaps of all contestants.

    Attributes:
        label: of the x axis, with its unit.
        gaps: in the order of the contestants.
        loss_unit: what losses are means over.
    """

    label: str
    gaps: list[Gap]
    loss_unit: str


def make_gaps(results: dict[str, Any]) -> GapPanel | None:
    """Pair the losses of contestants and their baselines, seed by seed, at equal tokens.

    Between two evaluations the baseline's loss is taken to lie on a straight line; tokens that the
    baseline was not trained on are left out.

    Args:
        results: as `load_results` returns them.

    Returns:
        The gaps, or None where there is nothing to compare.
    """
    contestants = results["contestants"]
    last = max((p.get("tokens") or 0 for c in contestants.values() for p in c["curve"]), default=0)
    if last <= 0:
        return None
    scale, label = choose_unit("tokens", last)
    places = slots(results)
    gaps = []
    for name in others(results):
        baseline = contestants[name]["baseline"]
        if baseline == name:
            continue
        theirs, mine = _losses(contestants[baseline]), _losses(contestants[name])
        if not theirs or not mine:
            continue
        known = sorted(theirs)
        common = [tokens for tokens in sorted(mine) if known[0] <= tokens <= known[-1]]
        pairs = [np.array(_at(theirs, known, tokens)) - np.array(mine[tokens]) for tokens in common]
        if not pairs:
            continue
        gaps.append(
            Gap(
                name=name,
                slot=places[name],
                x=[tokens / scale for tokens in common],
                mean=[float(pair.mean()) for pair in pairs],
                low=[float(pair.min()) for pair in pairs],
                high=[float(pair.max()) for pair in pairs],
                final=format_gain(float(pairs[-1].mean())),
            )
        )
    if not gaps:
        return None
    return GapPanel(label=label, gaps=gaps, loss_unit=loss_unit(results))


def gap_window(panel: GapPanel) -> tuple[float, float]:
    """The gains to show: every mean, nought, and the seeds' bands but for those of the start."""
    start = _START * max(gap.x[-1] for gap in panel.gaps)
    values = [0.0]
    for gap in panel.gaps:
        for x, low, high, mean in zip(gap.x, gap.low, gap.high, gap.mean, strict=True):
            values.append(mean)
            # The bands of grey lines are not drawn.
            if gap.slot is not None and (x >= start or x == gap.x[-1]):
                values += [low, high]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _losses(contestant: dict[str, Any]) -> dict[float, list[float]]:
    """By tokens, one per seed; evaluations that miss one are left out."""
    return {
        point["tokens"]: [float(loss) for loss in point["losses"]]
        for point in contestant["curve"]
        if point.get("tokens") is not None
        and point["losses"]
        and all(loss is not None and math.isfinite(loss) for loss in point["losses"])
    }


def _at(losses: dict[float, list[float]], known: list[float], tokens: float) -> list[float]:
    seeds = np.array([losses[place] for place in known])
    return [float(np.interp(tokens, known, seed)) for seed in seeds.T]
