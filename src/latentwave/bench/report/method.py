"""How a comparison was made, in words: budget, clock, search for learning rates."""

from __future__ import annotations

from typing import Any

from latentwave.bench.report.formats import format_loss
from latentwave.bench.report.table import Cell, Column, SummaryTable

_BUDGETS = {
    "tokens": "Every contestant trains for as many steps as its baseline, on the same tokens.",
    "flops": "Every contestant trains for as many steps as its baseline’s FLOPs pay for.",
    "seconds": "Every contestant trains for as many steps as its baseline’s seconds pay for.",
}


def budget_in_words(results: dict[str, Any]) -> str:
    """What all contestants spend the same of."""
    return _BUDGETS.get(results["budget"], f"Matched: {results['budget']}.")


def clock_in_words(results: dict[str, Any]) -> str:
    """Where the seconds come from."""
    clock = results["clock"]
    if clock["method"] != "alternating steps":
        return "Seconds are those that the runs took, without evaluations."
    load = clock.get("busy_cores")
    before = "" if load is None else f"; others kept {load:.2f} cores busy"
    return (
        "Seconds are steps times the duration of a step: the median of "
        f"{clock['rounds']} rounds in which one step of each contestant was timed in turn, while "
        f"nothing was trained{before}."
    )


def tuning_table(results: dict[str, Any]) -> SummaryTable | None:
    """Final losses of the search for learning rates; None where there was none."""
    tuning = results["tuning"]
    if not tuning:
        return None
    rates = sorted({rate for own in tuning.values() for rate in own["losses"]}, key=float)
    columns = (Column("contestant"), *(Column(rate, "", "learning rate") for rate in rates))
    rows = tuple(
        (
            Cell(name, "chosen at an end of the grid" if own["at_end_of_grid"] else ""),
            *(_tried(own, rate) for rate in rates),
        )
        for name, own in tuning.items()
    )
    return SummaryTable(
        columns=columns,
        rows=rows,
        caption="Final validation loss in nats of a run with each rate, with a seed of its own.",
    )


def _tried(own: dict[str, Any], rate: str) -> Cell:
    if rate not in own["losses"]:
        return Cell("")
    loss = own["losses"][rate]
    chosen = "chosen" if float(rate) == float(f"{own['chosen']:g}") else ""
    return Cell("diverged" if loss is None else format_loss(loss), chosen)
