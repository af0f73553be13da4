"""Tables of text, for pages and for terminals of any width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from latentwave.bench.report.formats import MISSING, Cell

_LONGEST_NAME = 20  # characters in a line of the first column
_GAP = 2  # between columns


@dataclass(frozen=True)
class Table:
    """Rows below heads."""

    heads: Sequence[str]  # of the columns, the first of which holds names; one line or two
    rows: Sequence[Sequence[Cell]]  # as long as `heads`, each
    caption: str = ""  # how to read it


def make_table(rows: Iterable[Mapping[str, str | Cell]], caption: str = "") -> Table:
    """A table of rows by their heads; heads are those of the first row, what others lack is a dash.

    Example:
        >>> make_table([{"name": "a", "loss": Cell("1.2", "±0.1")}, {"name": "b"}]).rows[1]
        [Cell(value='b', note=''), Cell(value='—', note='')]
    """
    listed = list(rows)
    heads = list(listed[0]) if listed else []
    cells = [[row.get(head, MISSING) for head in heads] for row in listed]
    whole = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in cells]
    return Table(heads, whole, caption)


def print_table(console: Console, table: Table) -> None:
    """Print a table whole where it fits; else in parts that each have the first column."""
    parts: list[list[int]] = [[0]]
    room = console.width
    for i, head in enumerate(table.heads):
        texts = [head, *(text for row in table.rows for text in (row[i].value, row[i].note))]
        width = max(cell_len(line) for text in texts for line in text.split("\n")) + _GAP
        if i == 0:
            first = min(width, _LONGEST_NAME + _GAP)
            room = console.width - first + _GAP
            continue
        if len(parts[-1]) > 1 and width > room:
            parts.append([0])
            room = console.width - first + _GAP
        parts[-1].append(i)
        room -= width
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(_rich_table(table, part))
    if table.caption:
        console.print(table.caption, style="dim")


def _rich_table(table: Table, columns: Sequence[int]) -> RichTable:
    shown = RichTable(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for i in columns:
        shown.add_column(
            Text(table.heads[i], style="bold"),
            justify="right" if i else "left",
            no_wrap=i > 0,
            max_width=None if i else _LONGEST_NAME,
            overflow="fold",
        )
    for row in table.rows:
        cells = [(row[i].value, row[i].note and f"\n{row[i].note}") for i in columns]
        shown.add_row(*(Text.assemble(value, (note, "dim")) for value, note in cells))
    return shown
