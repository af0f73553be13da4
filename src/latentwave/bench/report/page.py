"""Pages: what they hold, as data; their HTML; and their tables in a terminal."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml
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
    """Column heads, rows and a caption."""

    heads: Sequence[str]  # of one line or two; the first column holds names
    rows: Sequence[Sequence[Cell]]  # each as long as `heads`
    caption: str = ""  # how to read the table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and its contents, in this order, without those that are empty."""

    title: str  # the heading
    text: str = ""  # paragraphs, separated by empty lines
    charts: Sequence[Chart] = ()  # side by side where there is room
    items: Sequence[str] = ()  # a list of short texts
    table: Table | None = None
    code: str = ""  # a command or a file, verbatim
    facts: Mapping[str, str] = field(default_factory=dict)  # values by label
    parts: Sequence["Section"] = ()  # sections that the reader unfolds
    unfolded: bool = False  # whether this section, as such a part, starts unfolded


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: the finding, what to doubt about it, and sections."""

    title: str
    lead: str  # the finding, in one sentence
    details: str = ""  # more about the finding
    cautions: Sequence[str] = ()  # reasons to doubt it, one sentence each
    sections: Sequence[Section] = ()


def render_page(page: Page) -> str:
    """Render a page as HTML that loads nothing from outside and runs no script.

    It follows the reader's light or dark mode. All texts are escaped.
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


def make_table(rows: Sequence[Mapping[str, str | Cell]], caption: str = "") -> Table:
    """Make a table with the heads of the first row; cells that other rows do not have are dashes.

    Example:
        >>> make_table([{"name": "a", "loss": Cell("1.2", "±0.1")}, {"name": "b"}]).rows[1]
        [Cell(value='b', note=''), Cell(value='—', note='')]
    """
    heads = list(rows[0]) if rows else []
    cells = [[row.get(head, MISSING) for head in heads] for row in rows]
    whole = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in cells]
    return Table(heads, whole, caption)


def recipe_part(recipe: Mapping[str, object]) -> Section:
    """A part of a page that shows a recipe as YAML."""
    return Section(title="Recipe", code=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))


def print_table(console: Console, table: Table) -> None:
    """Print a table; if it is too wide, print parts that each start with the first column."""
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
