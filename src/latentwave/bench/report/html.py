"""Pages as HTML."""

from __future__ import annotations

import itertools

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from latentwave.bench.report.charts import COLOURS
from latentwave.bench.report.drawing import inline_svg
from latentwave.bench.report.formats import printable
from latentwave.bench.report.page import Page


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
    return printable(text)
