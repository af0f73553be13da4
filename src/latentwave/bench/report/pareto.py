"""Final losses against what was spent for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from latentwave.bench.report.curves import choose_unit
from latentwave.bench.report.ranking import MOST_IN_COLOUR, slots
from latentwave.bench.report.results import estimate, loss_unit
from latentwave.bench.training import BASELINE


@dataclass(frozen=True, kw_only=True)
class Spent:
    """One contestant.

    Attributes:
        name: the contestant.
        number: counted from the baseline, 0.
        slot: see `Curve`.
        x: what was spent, in the axis' unit.
        loss: final, mean over seeds, nats.
        low: lower end of its interval, or None.
        high: upper end of its interval, or None.
        on_front: whether nothing else reaches as low a loss for as little.
        named: whether the figure names it; else it shows its number.
    """

    name: str
    number: int
    slot: int | None
    x: float
    loss: float
    low: float | None
    high: float | None
    on_front: bool
    named: bool


@dataclass(frozen=True, kw_only=True)
class ParetoPanel:
    """All contestants against one measure.

    Attributes:
        measure: "flops" or "seconds".
        label: of the x axis, with its unit.
        points: in the order of their numbers.
        loss_unit: what losses are means over.
    """

    measure: str
    label: str
    points: list[Spent]
    loss_unit: str

    @property
    def front(self) -> list[Spent]:
        """The points on the Pareto front, from the cheapest to the best."""
        return sorted((p for p in self.points if p.on_front), key=lambda p: (p.x, p.loss))


def make_pareto(results: dict[str, Any], measure: str) -> ParetoPanel | None:
    """Collect final losses and what was spent for them.

    Args:
        results: as `load_results` returns them.
        measure: "flops" or "seconds".

    Returns:
        The panel, or None where the measure was not taken or there is one contestant alone.
    """
    contestants, places = results["contestants"], slots(results)
    names = sorted(contestants, key=lambda name: name != BASELINE)
    found = {}
    for name in names:
        curve = contestants[name]["curve"]
        spent = curve[-1][measure] if curve else None
        loss, low, high = estimate(contestants[name]["final_loss"])
        if spent and loss is not None:
            found[name] = (float(spent), loss, low, high)
    if len(found) < 2:
        return None
    scale, label = choose_unit(measure, max(x for x, *_ in found.values()))
    few = len(names) <= MOST_IN_COLOUR + 1
    points = []
    for name, (x, loss, low, high) in found.items():
        on_front = not any(
            a <= x and b <= loss and (a, b) != (x, loss) for a, b, *_ in found.values()
        )
        points.append(
            Spent(
                name=name,
                number=names.index(name),
                slot=places[name],
                x=x / scale,
                loss=loss,
                low=low,
                high=high,
                on_front=on_front,
                named=few or on_front or places[name] is not None,
            )
        )
    return ParetoPanel(measure=measure, label=label, points=points, loss_unit=loss_unit(results))
