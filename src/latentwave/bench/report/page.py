"""What a page shows, as data, and the same as HTML."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from latentwave.bench.report.charts import COLOURS, Chart, inline_svg
from latentwave.bench.report.tables import Table
from latentwave.bench.training.progress import without_controls


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
