"""What each contestant costs: parameters, operations, time and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latentwave.bench.report.formats import MISSING, format_bytes, format_count
from latentwave.bench.report.table import Cell, Column, SummaryTable, parameters_cell
from latentwave.bench.training import BASELINE

# By the column that each is about.
_WORDS = {
    "training FLOPs/token": "Training FLOPs: forward and backward pass.",
    "decoding FLOPs/token": "Decoding FLOPs: of one more token, a full context in the cache.",
    "training memory": "Training memory: tensors that live at once in a forward and a backward "
    "pass over one item, without the optimizer’s moments.",
    "cache memory": "Cache: what a full context takes in it, keys, values and the mixers’ state.",
}


def cost_table(results: dict[str, Any]) -> SummaryTable:
    """Costs as strings, one row per contestant, the baseline first.

    Args:
        results: as `load_results` returns them.

    Returns:
        Parameters with the mixers' share, FLOPs per token in training and in decoding, the
        duration of a step with the shortest and the longest that was timed, memory, and with what
        learning rate and for how many steps it was trained. A column that no contestant has a
        value for is left out.
    """
    contestants = results["contestants"]
    names = sorted(contestants, key=lambda name: name != BASELINE)
    seconds = results["clock"].get("step_seconds") or {}
    columns: list[tuple[Column, Callable[[str], Cell]]] = [
        (Column("contestant"), Cell),
        (Column("params", "(mixer)"), lambda name: parameters_cell(contestants[name])),
        (
            Column("training", "", "FLOPs/token"),
            lambda name: Cell(format_count(contestants[name]["flops_per_token"])),
        ),
        (
            Column("decoding", "", "FLOPs/token"),
            lambda name: Cell(format_count(_of(contestants[name]["decoding"], "flops_per_token"))),
        ),
        (Column("step", "ms"), lambda name: _step(seconds.get(name))),
        (
            Column("training", "", "memory"),
            lambda name: Cell(
                format_bytes(_of(contestants[name]["memory"], "peak_training_bytes"))
            ),
        ),
        (
            Column("cache", "", "memory"),
            lambda name: _cache(contestants[name]["decoding"]),
        ),
        (Column("learning", "rate"), lambda name: Cell(_rate(contestants[name]))),
        (
            Column("steps"),
            lambda name: Cell(
                MISSING
                if contestants[name]["num_steps"] is None
                else f"{contestants[name]['num_steps']:,.0f}"
            ),
        ),
    ]
    cells = [(column, [cell(name) for name in names]) for column, cell in columns]
    shown = [(c, own) for c, own in cells if any(cell.value != MISSING for cell in own)]
    return SummaryTable(
        columns=tuple(column for column, _ in shown),
        rows=tuple(zip(*(own for _, own in shown), strict=True)),
        caption=" ".join(
            words
            for about, words in _WORDS.items()
            if about in [f"{column.title} {column.group}" for column, _ in shown]
        ),
    )


def _of(costs: dict[str, Any] | None, key: str) -> float | None:
    return None if costs is None else costs.get(key)


def _step(seconds: dict[str, float] | None) -> Cell:
    if seconds is None:
        return Cell(MISSING)
    median, shortest, longest = (
        f"{1000 * seconds[key]:,.3g}" if seconds[key] < 1 else f"{1000 * seconds[key]:,.0f}"
        for key in ("median", "shortest", "longest")
    )
    return Cell(median, f"{shortest}–{longest}")


def _cache(decoding: dict[str, Any] | None) -> Cell:
    state = _of(decoding, "mixer_state_bytes")
    return Cell(
        format_bytes(_of(decoding, "cache_bytes")),
        f"(mixer {format_bytes(state)})" if state else "",
    )


def _rate(contestant: dict[str, Any]) -> str:
    rate = contestant["learning_rate"]
    return MISSING if rate is None else f"{rate:g}"
