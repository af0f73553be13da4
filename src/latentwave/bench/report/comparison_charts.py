"""Draws a comparison: loss curves, gains during training, final losses against their price."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from latentwave.bench.comparison import first_crossing
from latentwave.bench.comparison.results import MEASURES, ContestantResults, Estimate, Results
from latentwave.bench.report import charts
from latentwave.bench.report.charts import Chart, ChartGrid
from latentwave.bench.report.formats import format_loss, gain_cell
from latentwave.bench.report.headline import baseline_first, slots
from latentwave.bench.training import BASELINE

_LABELS = {
    "steps": "optimizer steps",
    "tokens": "tokens trained on",
    "flops": "FLOPs of training",
    "seconds": "training time [s]",
}
_START = 0.12  # share of the axis; the steep start of a run would flatten everything else
_LINEAR_RANGE = 2.5  # a larger ratio of highest to lowest price takes a logarithmic axis
Points = Float[np.ndarray, "_ _"]


def comparison_charts(results: Results) -> list[ChartGrid]:
    """`loss`, `gap` and `pareto`, as far as they were measured.

    Validation loss against each measure, the gain over the baseline against tokens, and final
    losses against what a whole run spent.
    """
    losses = [chart for measure in MEASURES if (chart := loss_chart(results, measure))]
    spent = [chart for measure in MEASURES[1:] if (chart := pareto_chart(results, measure))]
    gap = gap_chart(results)
    several = len(results.seeds) > 1
    grids = [
        ChartGrid(
            "loss",
            "Loss curves",
            losses,
            columns=len(losses),
            note="The dashed line is the baseline’s final loss; a dot marks where a contestant "
            "reaches it. The steep start may lie above the frame. "
            + ("Thin lines are seeds, thick lines their mean." if several else "One seed."),
        ),
        ChartGrid(
            "gap",
            "Does the gain last?",
            [gap] if gap else [],
            note="The baseline’s loss minus the contestant’s after the same tokens, paired by "
            "seed; above the dashed line the contestant is ahead. "
            + ("Bands reach from the lowest seed to the highest." if several else "One seed."),
        ),
        ChartGrid(
            "pareto",
            "Which is best at its price?",
            spent,
            columns=len(spent),
            note="What a whole run spent. The thin line joins the contestants that nothing beats "
            "at their price. " + ("Bars are the intervals of the losses." if several else ""),
        ),
    ]
    return [grid for grid in grids if grid.charts]


def loss_chart(results: Results, measure: str) -> Chart | None:
    """Validation loss against "steps", "flops" or "seconds"; None if that was not measured."""
    contestants, slot_of = baseline_first(results), slots(results)
    labels = charts.shorten_all(contestants)
    curves = {name: _curve(contestant, measure) for name, contestant in contestants.items()}
    curves = {name: points for name, points in curves.items() if len(points)}
    extent = max((c[-1, 0] for name, c in curves.items() if slot_of[name] is not None), default=0)
    target = contestants[BASELINE].final_loss.mean
    if extent <= 0:
        return None

    def draw(axes: Axes) -> None:
        for name, points in curves.items():
            contestant, slot, (x, loss) = contestants[name], slot_of[name], points.T[:2]
            if slot is None:
                axes.plot(x, loss, **charts.GREY)
                continue
            if len(results.seeds) > 1:
                axes.plot(x, points[:, 2:], **charts.thin_line(slot))
            label = f"{labels[name]} {format_loss(contestant.final_loss.mean)}"
            axes.plot(x, loss, **charts.line(slot), label=label)
            # The dashed line is the plain baseline's; contestants with another one never meet it.
            meets = contestant.reached and contestant.baseline == BASELINE != name
            if target is not None and meets:
                crossing = first_crossing(loss.tolist(), x.tolist(), target)
                if crossing is not None:
                    charts.dots(axes, [crossing], [target], slot)
        if target is not None:
            axes.axhline(target, **charts.DASHED)
        window = _loss_window(list(curves.values()), extent, target)
        axes.set(xlabel=_LABELS[measure], xlim=(0.0, extent), ylim=window)
        axes.set_title(f"validation loss [nats per {results.loss_unit}]")

    alt = f"Validation loss against {_LABELS[measure]}."
    return Chart(draw, alt, caption=_grey_caption(slot_of))


def gap_chart(results: Results) -> Chart | None:
    """Gains over the baselines at equal tokens, which show whether a gain lasts.

    Losses are paired by seed. The baseline's are interpolated linearly between evaluations, within
    the tokens that it was trained on. None if there is nothing to compare.
    """
    slot_of, labels = slots(results), charts.shorten_all(results.contestants)
    gains = {}
    for name in results.others:
        contestant, baseline = results.contestants[name], results.baseline_of(name)
        mine, theirs = (_curve(each, "tokens") for each in (contestant, baseline))
        if contestant is baseline or not len(mine) or not len(theirs):
            continue
        mine = mine[(mine[:, 0] >= theirs[0, 0]) & (mine[:, 0] <= theirs[-1, 0])]
        if len(mine):
            pairs = zip(mine.T[2:], theirs.T[2:], strict=True)
            paired = [np.interp(mine[:, 0], theirs[:, 0], other) - loss for loss, other in pairs]
            gains[name] = mine[:, 0], np.array(paired)
    extent = max((tokens[-1] for tokens, _ in gains.values()), default=0)
    if extent <= 0:
        return None

    def draw(axes: Axes) -> None:
        values = [0.0]
        for name, (tokens, gain) in gains.items():
            slot, mean = slot_of[name], gain.mean(axis=0)
            values += mean.tolist()
            if slot is None:
                axes.plot(tokens, mean, **charts.GREY)
                continue
            late = tokens >= min(_START * extent, tokens[-1])  # seeds differ widely before
            values += gain[:, late].ravel().tolist()
            charts.band(axes, tokens, gain.min(axis=0), gain.max(axis=0), slot)
            diverged = results.contestants[name].gain.mean is None
            label = f"{labels[name]} {gain_cell(Estimate(mean=None if diverged else mean[-1]))}"
            axes.plot(tokens, mean, **charts.line(slot), label=label)
        axes.axhline(0.0, **charts.DASHED)
        margin = 0.04 * (max(values) - min(values)) or 0.01
        window = min(values) - margin, max(values) + margin
        axes.set(xlabel=_LABELS["tokens"], xlim=(0.0, extent), ylim=window)
        axes.set_title(f"gain over the baseline [nats per {results.loss_unit}]")

    alt = "Gain in validation loss against tokens trained on."
    return Chart(draw, alt, caption=_grey_caption(slot_of), width=480.0, height=320.0)


def pareto_chart(results: Results, measure: str) -> Chart | None:
    """Final losses against the "flops" or "seconds" of whole runs; None for fewer than two."""
    contestants, slot_of = baseline_first(results), slots(results)
    labels = charts.shorten_all(contestants)
    found: dict[str, tuple[float, float]] = {}
    for name, contestant in contestants.items():
        price, loss = getattr(contestant.curve[-1], measure), contestant.final_loss.mean
        if price and loss is not None:
            found[name] = price, loss
    if len(found) < 2:
        return None
    front: list[str] = []
    for name in sorted(found, key=found.__getitem__):
        if not front or found[name][1] < found[front[-1]][1]:
            front.append(name)
    least, most = found[front[0]][0], max(price for price, _ in found.values())

    def draw(axes: Axes) -> None:
        stairs = np.array([found[name] for name in front]).T
        axes.step(*stairs, where="post", **charts.thin_line(charts.BASELINE_SLOT))
        for name, (price, loss) in found.items():
            slot, x, y = slot_of[name], [price], [loss]
            if interval := contestants[name].final_loss.interval:
                charts.bars(axes, x, y, ([interval[0]], [interval[1]]), slot)
            charts.dots(axes, x, y, slot, label=None if slot is None else labels[name])
            if slot is None and name in front:  # the legend does not name it
                charts.annotate(axes, x, y, [labels[name]], slot)
        # Wide enough that tiny differences do not look large.
        margin = max(0.08 * (most - least), 0.05 * most)
        axes.set_xlim(least - margin, most + margin)
        if most > _LINEAR_RANGE * least:
            axes.set_xscale("log")
            axes.set_xlim(least * (least / most) ** 0.1, most * (most / least) ** 0.1)
        title = f"final validation loss [nats per {results.loss_unit}]"
        axes.set(title=title, xlabel=_LABELS[measure])

    alt = f"Final validation loss against {_LABELS[measure]}; nothing beats {', '.join(front)}."
    return Chart(draw, alt, caption=_grey_caption(slot_of))


def _loss_window(curves: list[Points], extent: float, target: float | None) -> tuple[float, float]:
    """The range of losses to show: from the lowest to the highest after the steep start."""
    losses = np.concatenate([curve[:, 1:].ravel() for curve in curves])
    low, top = float(losses.min()), float(losses.max())
    high = max(float(np.interp(_START * extent, c[:, 0], c[:, 1])) for c in curves)
    if target is not None:
        low, top = min(low, target), max(top, target)
        high = max(high, target + 0.5 * (target - low))
    high = min(top, high)
    margin = 0.04 * (high - low) if high > low else 0.05
    return low - margin, max(low, high) + margin


def _curve(contestant: ContestantResults, measure: str) -> Points:
    """A row for each evaluation with losses of all seeds: amount spent, mean loss, loss by seed."""
    rows = [
        (spent, point.loss, *point.losses)
        for point in contestant.curve
        if (spent := getattr(point, measure)) is not None and None not in point.losses
    ]
    return np.array(rows, dtype=float).reshape(-1, 2 + len(contestant.curve[-1].losses))


def _grey_caption(slot_of: dict[str, int | None]) -> str:
    num_grey = list(slot_of.values()).count(None)
    return f"Grey: {num_grey} others, which the table names." if num_grey else ""
