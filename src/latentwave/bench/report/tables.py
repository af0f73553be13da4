"""Tables of text, for pages and for terminals of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from latentwave.bench.report.formats import printable

_LONGEST_NAME = 20  # characters in a line of the first column


@dataclass(frozen=True)
class Cell:
    """One value and what stands with it in smaller type.

    Example:
        >>> str(Cell("1.9×", "[1.7, 2.1]"))
        '1.9× [1.7, 2.1]'
    """

    value: str
    note: str = ""

    def __str__(self) -> str:
        """Value and note on one line."""
        return f"{self.value} {self.note}".strip()


@dataclass(frozen=True)
class Table:
    """Rows below heads."""

    heads: Sequence[str]  # of the columns, the first of which holds names; one line or two
    rows: Sequence[Sequence[Cell]]  # as long as `heads`, each
    caption: str = ""  # how to read it
    prose: bool = False  # whether cells hold text, not numbers


def make_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Table:
    """A table of plain strings."""
    return Table(heads, [[Cell(value) for value in row] for row in rows], caption)


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a paragraph without what would command the terminal."""
    console.print(Text(printable(text), style=style))


def print_table(console: Console, table: Table) -> None:
    """Print a table whole where it fits; else in parts that each have the first column."""
    everything = range(len(table.heads))
    for gap in (2, 1):
        if _width(console, whole := _rich_table(table, everything, gap)) <= console.width:
            console.print(whole)
            break
    else:
        parts: list[list[int]] = [[0]]
        for i in everything[1:]:
            wider = _rich_table(table, [*parts[-1], i], 2)
            if len(parts[-1]) > 1 and _width(console, wider) > console.width:
                parts.append([0])
            parts[-1].append(i)
        for number, part in enumerate(parts):
            if number:
                console.print()
            console.print(_rich_table(table, part, 2))
    if table.caption:
        print_text(console, table.caption, "dim")


def _rich_table(table: Table, chosen: Sequence[int], gap: int) -> RichTable:
    shown = RichTable(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for i in chosen:
        shown.add_column(
            Text(printable(table.heads[i]), style="bold"),
            justify="right" if i else "left",
            no_wrap=i > 0,
            max_width=None if i else _LONGEST_NAME,
            overflow="fold",
        )
    for row in table.rows:
        cells = [(row[i].value, row[i].note and f"\n{row[i].note}") for i in chosen]
        shown.add_row(
            *(Text.assemble(printable(value), (printable(note), "dim")) for value, note in cells)
        )
    return shown


def _width(console: Console, table: RichTable) -> int:
    """Columns that the table takes when nothing limits it."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum
