"""Draws what a ladder found: multipliers against budget and size, losses against compute."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from latentwave.bench.ladder.results import LadderPoint, LadderResults, Multiplier
from latentwave.bench.report import charts
from latentwave.bench.report.charts import Chart, ChartGrid
from latentwave.bench.training import BASELINE

Place = tuple[str, str, float]
"""Contestant, size and budget."""
_SIZES_BUDGET = 20.0  # tokens per parameter in the chart against size, if a ladder has it


def first_setting(results: LadderResults) -> str:
    """The setting that stands first in the recipe: headline and charts are about it."""
    return str(next(iter(results.recipe["settings"])))


def first_multipliers(results: LadderResults) -> list[Multiplier]:
    """The token multipliers of the first setting."""
    setting = first_setting(results)
    return [m for m in results.multipliers if m.setting == setting and m.tokens is not None]


def finished_runs(results: LadderResults, setting: str) -> dict[Place, list[LadderPoint]]:
    """The runs of all seeds that did not diverge, by contestant, size and budget."""
    runs: dict[Place, list[LadderPoint]] = {}
    for point in results.points:
        if point.setting == setting and point.loss is not None:
            place = point.contestant, point.size, point.budget
            runs.setdefault(place, []).append(point)
    return runs


def mean_loss(points: Sequence[LadderPoint]) -> float:
    """The mean loss of runs that did not diverge."""
    return float(np.mean([point.loss for point in points]))


def ladder_charts(results: LadderResults) -> list[ChartGrid]:
    """`multipliers`, `sizes` and `losses` of the first setting."""
    multipliers = first_multipliers(results)
    names = list(dict.fromkeys(m.contestant for m in multipliers))
    budgets = {m.budget for m in multipliers}
    budget = _SIZES_BUDGET if _SIZES_BUDGET in budgets else max(budgets, default=_SIZES_BUDGET)
    needed = "Tokens the plain decoder needs for the same loss ÷ tokens used"
    same = f"The same at {budget:g} tokens per parameter, against size"
    lines = "Loss against compute, one line for each contestant and size; dashed: the fitted law"
    by_budget = [_by_budget(multipliers, name, list(results.recipe["sizes"])) for name in names]
    grids = [
        ChartGrid("multipliers", needed, by_budget, columns=min(3, len(names))),
        ChartGrid("sizes", same, [_by_size(results, budget)] if multipliers else []),
        ChartGrid("losses", lines, [_losses_chart(results)]),
    ]
    return [grid for grid in grids if grid.charts]


def _by_budget(multipliers: Sequence[Multiplier], contestant: str, sizes: Sequence[str]) -> Chart:
    budgets = {m.budget: f"{m.budget:g}" for m in multipliers}

    def draw(axes: Axes) -> None:
        charts.log2_axis(axes, budgets, 0.9 * min(budgets), 1.1 * max(budgets))
        axes.set(title=charts.shorten(contestant, 40), xlabel="tokens per parameter")
        shown = [m for m in multipliers if m.contestant == contestant]
        lines = {size: {m.budget: m for m in shown if m.size == size} for size in sizes}
        _draw_multipliers(axes, lines, multipliers)

    alt = f"Multiplier of {contestant} against tokens per parameter, a line for each size."
    return Chart(draw, alt, width=300.0, height=220.0)


def _by_size(results: LadderResults, budget: float) -> Chart:
    multipliers = [m for m in first_multipliers(results) if m.budget == budget]
    parameters = {
        c.size: float(c.num_parameters) for c in results.costs if c.contestant == BASELINE
    }

    def draw(axes: Axes) -> None:
        axes.set(xlabel="parameters of the plain decoder", xscale="log")
        axes.set_xticks(list(parameters.values()), list(parameters))
        lines: dict[str, dict[float, Multiplier]] = {}
        for m in multipliers:
            lines.setdefault(m.contestant, {})[parameters[m.size]] = m
        _draw_multipliers(axes, lines, multipliers)

    return Chart(draw, f"Multipliers at {budget:g} tokens per parameter against size.", width=460.0)


def _draw_multipliers(
    axes: Axes, lines: dict[str, dict[float, Multiplier]], shown: Sequence[Multiplier]
) -> None:
    """Draw token multipliers against x, a line for each name, with hollow extrapolated dots."""
    labels = charts.shorten_all(lines)
    for slot, (name, by_x) in enumerate(lines.items()):
        x = sorted(by_x)
        values = [by_x[each].tokens for each in x]
        intervals = [(v.mean, v.low, v.high) for v in values if v is not None]
        mean, low, high = np.array(intervals, dtype=float).reshape(-1, 3).T
        charts.bars(axes, x, mean, (low, high), slot)
        axes.plot(x, mean, **charts.line(slot), label=labels[name] if x else None)
        for each, value in zip(x, mean, strict=True):
            charts.dots(axes, [each], [value], slot, hollow=by_x[each].extrapolated)
    axes.axhline(1.0, **charts.DASHED)
    # The frame cuts off long intervals and extrapolations far beyond what was measured.
    means = [(m.tokens.mean, m.extrapolated) for m in shown if m.tokens is not None]
    measured = [0.8, 1.2, *(mean for mean, beyond in means if not beyond)]
    top = min(max([1.2, *(mean for mean, _ in means)]), 1.5 * max(measured))
    axes.set_ylim(0.95 * min(measured), 1.2 * top)


def _losses_chart(results: LadderResults) -> Chart:
    setting = first_setting(results)
    costs = {(c.contestant, c.size): c for c in results.costs if c.setting == setting}
    runs = finished_runs(results, setting)
    others = [name for name in dict.fromkeys(name for name, *_ in runs) if name != BASELINE]

    def draw(axes: Axes) -> None:
        labels = charts.shorten_all([BASELINE, *others])
        for name, size in dict.fromkeys((name, size) for name, size, _ in runs):
            by_budget = [runs[key] for key in sorted(runs) if key[:2] == (name, size)]
            cost, tokens = costs[name, size], [points[0].tokens for points in by_budget]
            spent = [count * cost.flops_per_token for count in tokens]
            losses = [mean_loss(points) for points in by_budget]
            slot = charts.BASELINE_SLOT if name == BASELINE else others.index(name)
            axes.plot(spent, losses, **charts.line(slot), label=labels[name])
            charts.dots(axes, spent, losses, slot)
            law = results.laws.get(setting) if name == BASELINE else None
            if law is not None:
                reach = np.geomspace(tokens[0], 2 * tokens[-1], 50)
                expected = [law.loss(cost.num_parameters, count) for count in reach]
                axes.plot(reach * cost.flops_per_token, expected, **charts.DASHED)
        title = "validation loss [nats per token]"
        axes.set(title=title, xlabel="FLOPs of training", xscale="log")

    alt = (
        "Validation loss against FLOPs of training, with the plain decoder's law at each size; the "
        "tables below have the numbers."
    )
    return Chart(draw, alt, width=460.0, height=320.0)
