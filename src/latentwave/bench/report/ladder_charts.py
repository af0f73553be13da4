"""Figures of what a ladder found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from latentwave.bench.ladder.results import LadderPoint, LadderResults, Multiplier
from latentwave.bench.report.charts import (
    BASELINE_SLOT,
    DASHED,
    Chart,
    ChartGrid,
    bars,
    dots,
    line,
    log2_axis,
    shorten,
    shorten_all,
)
from latentwave.bench.training import BASELINE

Place = tuple[str, str, float]
"""Contestant, size and budget."""
_AT = 20.0  # tokens per parameter of the figure against size, where a ladder has it


def of_the_headline(results: LadderResults) -> list[Multiplier]:
    """The token multipliers of the setting that stands first in the recipe."""
    setting = next(iter(results.recipe["settings"]))
    return [m for m in results.multipliers if m.setting == setting and m.tokens is not None]


def ends_of(results: LadderResults, setting: str) -> dict[Place, list[LadderPoint]]:
    """The finished runs of all seeds by contestant, size and budget."""
    found: dict[Place, list[LadderPoint]] = {}
    for point in results.points:
        if point.setting == setting and point.loss is not None:
            place = point.contestant, point.size, point.budget
            found.setdefault(place, []).append(point)
    return found


def mean_loss(points: Sequence[LadderPoint]) -> float:
    """Of the runs of one cell that did not diverge."""
    return float(np.mean([point.loss for point in points]))


def ladder_charts(results: LadderResults) -> list[ChartGrid]:
    """`multipliers`, `sizes` and `losses` of the setting that stands first in the recipe."""
    own = of_the_headline(results)
    names = list(dict.fromkeys(m.contestant for m in own))
    budgets = {m.budget for m in own}
    at = _AT if _AT in budgets else max(budgets, default=_AT)
    needed = "Tokens the plain decoder needs for the same loss ÷ tokens used"
    same = f"The same at {at:g} tokens per parameter, against size"
    lines = "Loss against compute, one line for each contestant and size; dashed: the fitted law"
    by_budget = [_by_budget(own, name, list(results.recipe["sizes"])) for name in names]
    grids = [
        ChartGrid("multipliers", needed, by_budget, columns=min(3, len(names))),
        ChartGrid("sizes", same, [_by_size(results, at)] if own else []),
        ChartGrid("losses", lines, [_losses_chart(results)]),
    ]
    return [grid for grid in grids if grid.charts]


def _by_budget(own: Sequence[Multiplier], contestant: str, sizes: Sequence[str]) -> Chart:
    budgets = {m.budget: f"{m.budget:g}" for m in own}

    def draw(axes: Axes) -> None:
        log2_axis(axes, budgets, 0.9 * min(budgets), 1.1 * max(budgets))
        axes.set(title=shorten(contestant, 40), xlabel="tokens per parameter")
        lines = {
            size: {m.budget: m for m in own if (m.contestant, m.size) == (contestant, size)}
            for size in sizes
        }
        _draw_multipliers(axes, lines, own)

    alt = f"Multiplier of {contestant} against tokens per parameter, a line for each size."
    return Chart(draw, alt, width=300.0, height=220.0)


def _by_size(results: LadderResults, budget: float) -> Chart:
    own = [m for m in of_the_headline(results) if m.budget == budget]
    parameters = {
        c.size: float(c.num_parameters) for c in results.costs if c.contestant == BASELINE
    }

    def draw(axes: Axes) -> None:
        axes.set(xlabel="parameters of the plain decoder", xscale="log")
        axes.set_xticks(list(parameters.values()), list(parameters))
        lines = {
            name: {parameters[m.size]: m for m in own if m.contestant == name}
            for name in dict.fromkeys(m.contestant for m in own)
        }
        _draw_multipliers(axes, lines, own)

    return Chart(draw, f"Multipliers at {budget:g} tokens per parameter against size.", width=460.0)


def _draw_multipliers(
    axes: Axes, lines: dict[str, dict[float, Multiplier]], shown: Sequence[Multiplier]
) -> None:
    """Token multipliers by place, a line for each name; hollow where extrapolated."""
    labels = shorten_all(lines)
    for slot, (name, own) in enumerate(lines.items()):
        places = sorted(own)
        values = [own[place].tokens for place in places]
        ends = [(v.mean, v.low, v.high) for v in values if v is not None]
        mean, low, high = np.array(ends, dtype=float).reshape(-1, 3).T
        bars(axes, places, mean, (low, high), slot)
        axes.plot(places, mean, **line(slot), label=labels[name] if places else None)
        for place, value in zip(places, mean, strict=True):
            dots(axes, [place], [value], slot, hollow=own[place].extrapolated)
    axes.axhline(1.0, **DASHED)
    # Long intervals, and extrapolations far beyond what was measured, reach out of the frame.
    means = [(m.tokens.mean, m.extrapolated) for m in shown if m.tokens is not None]
    measured = [0.8, 1.2, *(mean for mean, beyond in means if not beyond)]
    top = min(max([1.2, *(mean for mean, _ in means)]), 1.5 * max(measured))
    axes.set_ylim(0.95 * min(measured), 1.2 * top)


def _losses_chart(results: LadderResults) -> Chart:
    setting = next(iter(results.recipe["settings"]))
    costs = {(c.contestant, c.size): c for c in results.costs if c.setting == setting}
    found = ends_of(results, setting)
    others = [name for name in dict.fromkeys(name for name, *_ in found) if name != BASELINE]

    def draw(axes: Axes) -> None:
        labels = shorten_all([BASELINE, *others])
        for name, size in dict.fromkeys((name, size) for name, size, _ in found):
            own = [found[key] for key in sorted(found) if key[:2] == (name, size)]
            spent = [points[0].tokens * costs[name, size].flops_per_token for points in own]
            losses = [mean_loss(points) for points in own]
            slot = BASELINE_SLOT if name == BASELINE else others.index(name)
            axes.plot(spent, losses, **line(slot), label=labels[name])
            dots(axes, spent, losses, slot)
            law = results.laws.get(setting) if name == BASELINE else None
            if law is not None:
                cost, tokens = costs[name, size], [points[0].tokens for points in own]
                reach = np.geomspace(tokens[0], 2 * tokens[-1], 50)
                expected = [law.loss(cost.num_parameters, count) for count in reach]
                axes.plot(reach * cost.flops_per_token, expected, **DASHED)
        title = "validation loss [nats per token]"
        axes.set(title=title, xlabel="FLOPs of training", xscale="log")

    alt = (
        "Validation loss against FLOPs of training, with the plain decoder's law at each size; the "
        "tables below have the numbers."
    )
    return Chart(draw, alt, width=460.0, height=320.0)
