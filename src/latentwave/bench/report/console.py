"""A comparison in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from latentwave.bench.report.cautions import cautions
from latentwave.bench.report.cost_table import cost_table
from latentwave.bench.report.formats import LONGEST_NAME
from latentwave.bench.report.headline import write_headline
from latentwave.bench.report.table import Cell, SummaryTable, summary_table


def print_summary(results: dict[str, Any], console: Console | None = None) -> None:
    """Print headline, cautions and tables; a narrow terminal gets each table in parts.

    Args:
        results: as `load_results` returns them.
        console: where to; None means standard output.
    """
    console = console or Console()
    headline = write_headline(results)
    console.print()
    console.print(Text(headline.lead, style="bold"))
    console.print(Text(f"{headline.speedups} {headline.details}".strip()))
    for caution in cautions(results):
        console.print(Text(caution, style="yellow"))
    console.print()
    table = summary_table(results)
    first_gain = next(i for i, column in enumerate(table.columns) if column.title == "gain")
    _print_table(console, table, first_gain)
    costs = cost_table(results)
    measured = [column.title for column in costs.columns]
    if "decoding" in measured or "step" in measured:
        console.print()
        memory = [i for i, column in enumerate(costs.columns) if column.group == "memory"]
        _print_table(console, costs, memory[0] if memory else len(measured))


def _print_table(console: Console, table: SummaryTable, second_part: int) -> None:
    """Whole where it fits; else in parts with the names each, a new one from that column on."""
    everything = range(len(table.columns))
    fitting = (_rich_table(table, everything, gap) for gap in (2, 1))
    whole = next((shown for shown in fitting if _width(console, shown) <= console.width), None)
    if whole is not None:
        console.print(whole)
    else:
        parts: list[list[int]] = [[]]
        for i in everything[1:]:
            wider = _rich_table(table, [0, *parts[-1], i], 2)
            if parts[-1] and (i == second_part or _width(console, wider) > console.width):
                parts.append([])
            parts[-1].append(i)
        for number, part in enumerate(parts):
            if number:
                console.print()
            console.print(_rich_table(table, [0, *part], 2))
    console.print(Text(table.caption, style="dim"))


def _rich_table(table: SummaryTable, chosen: Sequence[int], gap: int) -> Table:
    shown = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for i in chosen:
        column = table.columns[i]
        head = (column.group, column.title) if column.group else (column.title, column.unit)
        shown.add_column(
            Text("\n".join(head), style="bold"),
            justify="left" if i == 0 else "right",
            no_wrap=i > 0,
            max_width=LONGEST_NAME if i == 0 else None,
            overflow="fold",
        )
    for row in table.rows:
        shown.add_row(*(_rich_cell(row[i]) for i in chosen))
    return shown


def _rich_cell(cell: Cell) -> Text:
    return Text.assemble(cell.value, *([("\n" + cell.note, "dim")] if cell.note else []))


def _width(console: Console, table: Table) -> int:
    """Columns that the table takes when nothing limits it."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum
