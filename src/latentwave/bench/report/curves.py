"""Loss curves as the figures draw them: points, crossings and windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latentwave.bench.report.formats import Number, format_loss, format_speedup
from latentwave.bench.report.ranking import slots
from latentwave.bench.report.results import estimate, loss_unit
from latentwave.bench.training import BASELINE

UNITS: dict[str, list[tuple[float, str]]] = {
    "steps": [(1.0, "optimiser steps")],
    "flops": [
        (1e18, "training compute [EFLOP]"),
        (1e15, "training compute [PFLOP]"),
        (1e12, "training compute [TFLOP]"),
        (1e9, "training compute [GFLOP]"),
        (1.0, "training compute [FLOP]"),
    ],
    "tokens": [
        (1e9, "tokens trained on [billions]"),
        (1e6, "tokens trained on [millions]"),
        (1e3, "tokens trained on [thousands]"),
        (1.0, "tokens trained on"),
    ],
    "seconds": [
        (3600.0, "training time [h]"),
        (60.0, "training time [min]"),
        (1.0, "training time [s]"),
    ],
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Validation loss of one contestant against one measure.

    Attributes:
        name: the contestant.
        slot: its place among the contestants in colour, see `ranking.slots`; −1 for the baseline,
            None for grey.
        x: the measure at each evaluation, in the axis' unit.
        loss: mean over seeds, nats per token.
        seeds: the same for every seed, NaN where missing; empty with one seed.
        final: final loss as text.
        crossing: x where the mean first reaches the baseline's final loss, or None.
        speedup: its factor as text; empty where it was not reached.
    """

    name: str
    slot: int | None
    x: list[float]
    loss: list[float]
    seeds: list[list[float]]
    final: str
    crossing: float | None
    speedup: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All curves against one measure.

    Attributes:
        measure: "steps", "flops" or "seconds".
        label: of the x axis, with its unit.
        target: the baseline's final loss in nats per token, or None.
        curves: the baseline first.
        loss_unit: what losses are means over.
    """

    measure: str
    label: str
    target: float | None
    curves: list[Curve]
    loss_unit: str = "token"


def make_panel(results: dict[str, Any], measure: str) -> Panel | None:
    """Collect the curves against one measure.

    Args:
        results: as `load_results` returns them.
        measure: "steps", "flops" or "seconds".

    Returns:
        The panel, or None where the measure was not taken.
    """
    contestants = results["contestants"]
    points = {
        name: [p for p in contestant["curve"] if p[measure] is not None and p["loss"] is not None]
        for name, contestant in contestants.items()
    }
    extent = max((p[measure] for some in points.values() for p in some), default=0)
    if extent <= 0:
        return None
    scale, label = choose_unit(measure, extent)
    target, _, _ = estimate(contestants[BASELINE]["final_loss"])
    places = slots(results)
    curves = []
    for name in sorted(points, key=lambda n: n != BASELINE):
        if not points[name]:
            continue
        contestant = contestants[name]
        x = [p[measure] / scale for p in points[name]]
        loss = [float(p["loss"]) for p in points[name]]
        factor, _ = format_speedup(*estimate(contestant["speedup"][measure]))
        crossing = None
        # The dashed line is the plain baseline's: what has another one has no place on it.
        plain = contestant["baseline"] == BASELINE != name
        if target is not None and plain and contestant["reached"]:
            crossing = find_crossing(x, loss, target)
        curves.append(
            Curve(
                name=name,
                slot=places[name],
                x=x,
                loss=loss,
                seeds=_per_seed(points[name], len(results["seeds"])),
                final=format_loss(contestant["final_loss"]["mean"]),
                crossing=crossing,
                speedup=factor if crossing is not None else "",
            )
        )
    return Panel(
        measure=measure, label=label, target=target, curves=curves, loss_unit=loss_unit(results)
    )


def choose_unit(measure: str, extent: float) -> tuple[float, str]:
    """What to divide a measure by for an axis of that extent, and the axis' label.

    The largest unit that leaves at least two of them on the axis, so that ticks stay short.
    """
    units = UNITS[measure]
    return next(((scale, label) for scale, label in units if extent >= 2 * scale), units[-1])


def find_crossing(x: Sequence[Number], loss: Sequence[float], target: float) -> float | None:
    """Where a curve first reaches a loss, by linear interpolation; None if it never does.

    Example:
        >>> find_crossing([0, 100, 200], [3.0, 2.0, 1.0], 1.5)
        150.0
        >>> find_crossing([0, 100], [3.0, 2.0], 1.5) is None
        True
    """
    for i, value in enumerate(loss):
        if value <= target:
            if i == 0:
                return float(x[0])
            share = (loss[i - 1] - target) / (loss[i - 1] - value)
            return x[i - 1] + share * (x[i] - x[i - 1])
    return None


def loss_window(panel: Panel) -> tuple[float, float, bool]:
    """The losses worth showing: the steep start of a run would press everything else flat.

    Returns:
        Lowest and highest loss to show, and whether points lie above.
    """
    values = [v for c in panel.curves for line in (c.loss, *c.seeds) for v in line]
    values = [v for v in values if math.isfinite(v)]
    if panel.target is not None:
        values.append(panel.target)
    low, top = min(values), max(values)
    start = 0.12 * max(c.x[-1] for c in panel.curves if c.slot is not None)
    high = max(_value_at(c, start) for c in panel.curves)
    if panel.target is not None:
        high = max(high, panel.target + 0.5 * (panel.target - low))
    high = min(top, high)
    if high <= low:
        return low - 0.05, low + 0.05, False
    return low, high, top > high


def _per_seed(points: list[dict[str, Any]], num_seeds: int) -> list[list[float]]:
    if num_seeds < 2:
        return []
    columns: list[list[float]] = [[] for _ in range(num_seeds)]
    for point in points:
        losses = point["losses"]
        for i, column in enumerate(columns):
            value = losses[i] if i < len(losses) else None
            column.append(math.nan if value is None else float(value))
    return columns


def _value_at(curve: Curve, x: float) -> float:
    for i, position in enumerate(curve.x):
        if position >= x:
            if i == 0:
                return curve.loss[0]
            share = (x - curve.x[i - 1]) / (position - curve.x[i - 1])
            return curve.loss[i - 1] + share * (curve.loss[i] - curve.loss[i - 1])
    return curve.loss[-1]
