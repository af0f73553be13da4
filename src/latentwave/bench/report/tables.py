"""Tables of text, for pages and for terminals of any width and encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from latentwave.bench.report.formats import printable

_LONGEST_NAME = 20  # characters in a line of the first column
_PLAIN = str.maketrans(
    {"×": "x", "÷": "/", "−": "-", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"', "…": "..."}
)


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    title: str  # what it holds
    unit: str = ""  # in what unit, or what the note in its cells is; may be empty
    group: str = ""  # words above several columns; empty where it stands alone


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

    columns: Sequence[Column]  # the first holds names
    rows: Sequence[Sequence[Cell]]  # as long as `columns`, each
    caption: str = ""  # how to read it
    prose: bool = False  # whether cells hold text, not numbers


def make_table(titles: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Table:
    """A table of plain strings."""
    cells = [[Cell(value) for value in row] for row in rows]
    return Table([Column(title) for title in titles], cells, caption)


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a paragraph, whatever is in it and whatever the console can show."""
    console.print(Text(for_console(console, text), style=style))


def print_table(console: Console, table: Table, second_part: int | None = None) -> None:
    """Print a table whole where it fits; else in parts that each have the first column.

    Args:
        console: where to.
        table: what.
        second_part: the column that starts a new part; None: whichever no longer fits.
    """
    everything = range(len(table.columns))
    fitting = (_rich_table(console, table, everything, gap) for gap in (2, 1))
    whole = next((shown for shown in fitting if _width(console, shown) <= console.width), None)
    if whole is not None:
        console.print(whole)
    else:
        parts: list[list[int]] = [[]]
        for i in everything[1:]:
            wider = _rich_table(console, table, [0, *parts[-1], i], 2)
            if parts[-1] and (i == second_part or _width(console, wider) > console.width):
                parts.append([])
            parts[-1].append(i)
        for number, part in enumerate(parts):
            if number:
                console.print()
            console.print(_rich_table(console, table, [0, *part], 2))
    if table.caption:
        print_text(console, table.caption, "dim")


def for_console(console: Console, text: str) -> str:
    r"""What a console may be sent of a text: no escape sequences, no signs it cannot encode.

    Example:
        >>> import io
        >>> file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        >>> for_console(Console(file=file), "1.9× \x1b[2J — é")
        '1.9x ?[2J - ?'
    """
    text, encoding = printable(text), console.encoding
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def _rich_table(console: Console, table: Table, chosen: Sequence[int], gap: int) -> RichTable:
    shown = RichTable(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for i in chosen:
        column = table.columns[i]
        head = [column.group, column.title] if column.group else [column.title, column.unit]
        if not any(each.group or each.unit for each in table.columns):
            head = [column.title]
        shown.add_column(
            Text(for_console(console, "\n".join(head)), style="bold"),
            justify="left" if i == 0 else "right",
            no_wrap=i > 0,
            max_width=_LONGEST_NAME if i == 0 else None,
            overflow="fold",
        )
    for row in table.rows:
        cells = [row[i] for i in chosen]
        shown.add_row(
            *(
                Text.assemble(
                    for_console(console, cell.value),
                    (for_console(console, f"\n{cell.note}" if cell.note else ""), "dim"),
                )
                for cell in cells
            )
        )
    return shown


def _width(console: Console, table: RichTable) -> int:
    """Columns that the table takes when nothing limits it."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum
