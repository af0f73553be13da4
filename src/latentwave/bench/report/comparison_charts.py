"""The figures of a comparison: loss curves, gains while training, losses against their price."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from latentwave.bench.comparison import first_crossing
from latentwave.bench.comparison.results import MEASURES, ContestantResults, Results
from latentwave.bench.report.charts import BASELINE_SLOT, Axis, Chart, ChartGrid, Series, shorten
from latentwave.bench.report.formats import format_gain, format_loss, format_speedup
from latentwave.bench.report.headline import baseline_first, slots
from latentwave.bench.training import BASELINE

_UNITS = {
    "steps": {1.0: "optimizer steps"},
    "flops": {
        10.0**power: f"training compute [{prefix}FLOP]"
        for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (0, ""))
    },
    "tokens": {
        1e9: "tokens trained on [billions]",
        1e6: "tokens trained on [millions]",
        1e3: "tokens trained on [thousands]",
        1.0: "tokens trained on",
    },
    "seconds": {3600.0: "training time [h]", 60.0: "training time [min]", 1.0: "training time [s]"},
}
_START = 0.12  # of the axis: the steep start of a run would press everything else flat
_FEW_TIMES = 2.5  # how many times the least the most may be on a linear axis
Points = Float[np.ndarray, "_ _"]


def comparison_charts(results: Results) -> list[ChartGrid]:
    """`loss`, `gap` and `pareto`; what was not measured is left out.

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
            "reaches it, with its speed-up in brackets. The steep start may lie above the frame. "
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
            "What it costs",
            spent,
            columns=len(spent),
            note="What a whole run spent. The thin line joins the contestants that nothing beats "
            "at their price. " + ("Bars are the intervals of the losses." if several else ""),
        ),
    ]
    return [grid for grid in grids if grid.charts]


def loss_chart(results: Results, measure: str) -> Chart | None:
    """Validation loss against "steps", "flops" or "seconds"; None where that was not measured."""
    contestants, places = baseline_first(results), slots(results)
    curves = {name: _curve(own, measure) for name, own in contestants.items()}
    curves = {name: points for name, points in curves.items() if len(points)}
    shown = [points[-1, 0] for name, points in curves.items() if places[name] is not None]
    extent = float(max(shown, default=0))
    if extent <= 0:
        return None
    scale, label = choose_unit(measure, extent)
    target = contestants[BASELINE].final_loss.mean
    series, dots, words = [], [], []
    for name, points in curves.items():
        own, slot = contestants[name], places[name]
        x, loss = points[:, 0] / scale, points[:, 1]
        if slot is None:
            series.append(Series(x, loss, slot=None))
            continue
        final, factor = format_loss(own.final_loss.mean), ""
        words.append(f"{name} ends at {final}")
        # The dashed line is the plain baseline's: what has another baseline has no place on it.
        if target is not None and own.reached and own.baseline == BASELINE != name:
            crossing = first_crossing(loss.tolist(), x.tolist(), target)
            if crossing is not None:
                factor = format_speedup(getattr(own.speedup, measure).mean)[0]
                words.append(f"reaches the baseline’s final loss with a speed-up of {factor}")
                dots.append(Series([crossing], [target], slot=slot, line=False, points=True))
        if len(results.seeds) > 1:
            series += [Series(x, seed, slot=slot, thin=True) for seed in points[:, 2:].T]
        series.append(Series(x, loss, slot=slot, name=f"{shorten(name)} {final}", detail=factor))
    return Chart(
        f"validation loss [nats per {results.loss_unit}]",
        x=Axis(label, window=(0.0, extent / scale)),
        y=Axis(grid=True, window=_loss_window(list(curves.values()), extent, target)),
        series=[*series, *dots],
        level=target,
        alt=f"Line chart of validation loss against {label}: {', '.join(words)}.",
        caption=_grey(places),
    )


def gap_chart(results: Results) -> Chart | None:
    """How far contestants are ahead of their baselines at equal tokens: does a gain last?

    Losses are paired seed by seed. Between two evaluations the baseline's loss is taken to lie on
    a straight line; tokens that the baseline was not trained on are left out.

    Returns:
        The gains, or None where there is nothing to compare.
    """
    places = slots(results)
    gains = {}
    for name in results.others:
        own, baseline = results.contestants[name], results.baseline_of(name)
        mine, theirs = (_curve(each, "tokens", whole=True) for each in (own, baseline))
        if own is baseline or not len(mine) or not len(theirs):
            continue
        mine = mine[(mine[:, 0] >= theirs[0, 0]) & (mine[:, 0] <= theirs[-1, 0])]
        if len(mine):
            pairs = zip(mine.T[2:], theirs.T[2:], strict=True)
            paired = [np.interp(mine[:, 0], theirs[:, 0], other) - loss for loss, other in pairs]
            gains[name] = mine[:, 0], np.array(paired)
    extent = float(max((tokens[-1] for tokens, _ in gains.values()), default=0))
    if extent <= 0:
        return None
    scale, label = choose_unit("tokens", extent)
    series, words, values = [], [], [0.0]
    for name, (tokens, gain) in gains.items():
        mean, slot, x = gain.mean(axis=0), places[name], tokens / scale
        values += mean.tolist()
        if slot is None:
            series.append(Series(x, mean, slot=None))
            continue
        late = tokens >= min(_START * extent, tokens[-1])  # early on, seeds lie far apart
        values += gain[:, late].ravel().tolist()
        final = format_gain(float(mean[-1]))
        words.append(f"{name} ends at {final} nats")
        low, high, title = gain.min(axis=0), gain.max(axis=0), f"{shorten(name)} {final}"
        series.append(Series(x, mean, low=low, high=high, slot=slot, name=title))
    margin = 0.04 * (max(values) - min(values)) or 0.01
    return Chart(
        f"gain over the baseline [nats per {results.loss_unit}]",
        x=Axis(label, window=(0.0, extent / scale)),
        y=Axis(grid=True, window=(min(values) - margin, max(values) + margin)),
        series=series,
        level=0.0,
        alt=f"Line chart of the gain in validation loss against {label}: {', '.join(words)}.",
        caption=_grey(places),
        width=480.0,
        height=320.0,
    )


def pareto_chart(results: Results, measure: str) -> Chart | None:
    """Final losses against the "flops" or "seconds" that whole runs spent.

    Returns:
        The losses, or None where the measure was not taken or there is one contestant alone.
    """
    contestants, places = baseline_first(results), slots(results)
    spent, losses = {}, {}
    for name, own in contestants.items():
        price, loss = getattr(own.curve[-1], measure), own.final_loss.mean
        if price and loss is not None:
            spent[name], losses[name] = price, loss
    if len(spent) < 2:
        return None
    most, least = max(spent.values()), min(spent.values())
    scale, label = choose_unit(measure, most)
    front: list[str] = []
    for name in sorted(spent, key=lambda name: (spent[name], losses[name])):
        if all(losses[name] < losses[other] for other in front):
            front.append(name)
    # A staircase: down to a loss where it is paid for.
    x = np.repeat([spent[name] / scale for name in front], 2)[1:]
    y = np.repeat([losses[name] for name in front], 2)[:-1]
    series = [Series(x, y, slot=BASELINE_SLOT, thin=True)]
    for name, price in spent.items():
        slot, final = places[name], contestants[name].final_loss
        whole = final.low is not None and final.high is not None
        series.append(
            Series(
                [price / scale],
                [losses[name]],
                low=[final.low or 0.0] if whole else (),
                high=[final.high or 0.0] if whole else (),
                bars=True,
                line=False,
                points=True,
                slot=slot,
                name=shorten(name) if slot is not None else "",
                # Grey points are named where nothing beats them.
                labels=[shorten(name)] if slot is None and name in front else [],
            )
        )
    logarithmic = most > _FEW_TIMES * least
    # Never so near that a difference of next to nothing looks large.
    margin = max(0.08 * (most - least), 0.05 * most)
    low, high = least - margin, most + margin
    if logarithmic:
        low, high = least * (least / most) ** 0.1, most * (most / least) ** 0.1
    ends = ", ".join(f"{name} at {format_loss(losses[name])}" for name in front)
    return Chart(
        f"final validation loss [nats per {results.loss_unit}]",
        x=Axis(label, scale="log" if logarithmic else "linear", window=(low / scale, high / scale)),
        series=series,
        alt=f"Scatter chart of final validation loss against {label}; on the front, from the "
        f"cheapest to the best: {ends}.",
        caption=_grey(places),
    )


def choose_unit(measure: str, extent: float) -> tuple[float, str]:
    """What to divide a measure by for an axis of that extent, and the axis' label.

    The largest unit that leaves at least two of them on the axis, so that ticks stay short.

    Example:
        >>> choose_unit("seconds", 100.0)
        (1.0, 'training time [s]')
    """
    units = _UNITS[measure]
    scale = next((scale for scale in units if extent >= 2 * scale), 1.0)
    return scale, units[scale]


def _loss_window(curves: list[Points], extent: float, target: float | None) -> tuple[float, float]:
    """The losses worth showing: from the lowest to the highest after the steep start."""
    losses = np.concatenate(
        [*(c[:, 1:].ravel() for c in curves), [] if target is None else [target]]
    )
    low, top = float(np.nanmin(losses)), float(np.nanmax(losses))
    high = max(float(np.interp(_START * extent, c[:, 0], c[:, 1])) for c in curves)
    if target is not None:
        high = max(high, target + 0.5 * (target - low))
    high = min(top, high)
    margin = 0.04 * (high - low) if high > low else 0.05
    return low - margin, max(low, high) + margin


def _curve(own: ContestantResults, measure: str, *, whole: bool = False) -> Points:
    """What was spent, the mean loss and that of each seed; evaluations without are left out.

    With `whole`, those without the loss of every seed are left out too.
    """
    rows = [
        (spent, point.loss, *(math.nan if loss is None else loss for loss in point.losses))
        for point in own.curve
        if (spent := getattr(point, measure)) is not None
        if (None not in point.losses if whole else point.loss is not None)
    ]
    return np.array(rows, dtype=float).reshape(-1, 2 + len(own.curve[-1].losses))


def _grey(places: dict[str, int | None]) -> str:
    num_grey = list(places.values()).count(None)
    return f"Grey: {num_grey} others, which the table names." if num_grey else ""
