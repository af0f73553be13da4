"""What a page shows, as data and as HTML; its tables in terminals of any width too."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from latentwave.bench.report.charts import COLOURS, Chart
from latentwave.bench.report.figures import inline_svg
from latentwave.bench.report.formats import MISSING, Cell
from latentwave.bench.training.progress import without_controls

_LONGEST_NAME = 24  # characters in a line of the first column


@dataclass(frozen=True)
class Table:
    """Rows below heads."""

    heads: Sequence[str]  # of the columns, the first of which holds names; one line or two
    rows: Sequence[Sequence[Cell]]  # as long as `heads`, each
    caption: str = ""  # how to read it


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it, in this order; whatever is empty is left out."""

    title: str  # the heading
    text: str = ""  # paragraphs, with an empty line between two
    charts: Sequence[Chart] = ()  # side by side where there is room
    items: Sequence[str] = ()  # a list of short texts
    table: Table | None = None  # of numbers or texts
    code: str = ""  # a command or a file, character for character
    facts: Mapping[str, str] = field(default_factory=dict)  # labels and values
    parts: Sequence[Section] = ()  # sections that a click or the return key unfolds
    unfolded: bool = False  # whether this section starts unfolded where it is such a part


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of a page."""

    title: str  # what it is of
    lead: str  # the finding, in one sentence
    details: str = ""  # more about it
    cautions: Sequence[str] = ()  # what makes it doubtful, a sentence each
    sections: Sequence[Section] = ()  # the rest


def render_page(page: Page) -> str:
    """A page as HTML that refers to nothing outside itself and runs no script.

    Colours follow the reader's choice of light or dark. All texts are escaped.
    """
    environment = Environment(
        loader=PackageLoader("latentwave.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    numbers = itertools.count(1)
    text = environment.get_template("page.html.j2").render(
        page=page,
        colours=COLOURS,
        draw=lambda chart: Markup(inline_svg(chart, f"chart-{next(numbers)}")),  # noqa: S704
    )
    return without_controls(text)


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
    unbounded = console.options.update(max_width=10_000)
    parts: list[list[int]] = [[0]]
    for i in range(1, len(table.heads)):
        wanted = console.measure(_rich_table(table, [*parts[-1], i]), options=unbounded).maximum
        if len(parts[-1]) > 1 and wanted > console.width:
            parts.append([0])
        parts[-1].append(i)
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(_rich_table(table, part))
    if table.caption:
        console.print(table.caption, style="dim")


def _rich_table(table: Table, columns: Sequence[int]) -> RichTable:
    shown = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False)
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
