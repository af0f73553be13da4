"""Figures of matplotlib that are tied to no window, and their files."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from latentwave.bench.report.axes import LIGHT, SMALL_SIZE

_LOGGER = logging.getLogger(__name__)
_MISSING_GLYPH = re.compile(r"Glyph (\d+) .*missing from")


def new_figure(width: float, height: float, paper: str, layout: Any = None) -> Figure:
    """An empty figure, tied to no window and no global state.

    Args:
        width: in inches.
        height: in inches.
        paper: the colour of its ground.
        layout: who places the axes, such as "constrained"; None: whoever adds them.
    """
    figure = Figure(figsize=(width, height), facecolor=paper, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def add_bar(
    figure: Figure, image: Any, axes: Any, label: str, *, aspect: float = 30, fraction: float = 0.04
) -> None:
    """Put the scale of colours beside some axes.

    Args:
        figure: that holds them.
        image: whose colours.
        axes: one or several.
        label: with the unit.
        aspect: height of the scale over its width.
        fraction: of the axes' width that it takes.
    """
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=aspect, fraction=fraction)
    bar.set_label(label, fontsize=SMALL_SIZE, color=LIGHT.muted)
    bar.ax.tick_params(labelsize=SMALL_SIZE - 1, colors=LIGHT.muted, length=2)
    bar.outline.set_visible(False)


def svg_settings(salt: str) -> Any:
    """Text stays text in an SVG, and the same figure gives the same file."""
    return mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt})


def save_with_page(figure: Figure, folder: Path, stem: str, *, dpi: int, svg: bool) -> list[Path]:
    """Write a figure that a page shows too as PNG, and as SVG if that is wanted.

    Returns:
        The files.
    """
    png = folder / f"{stem}.png"
    save_png(figure, png, dpi=dpi, hint="; the page shows them")
    if not svg:
        return [png]
    path = png.with_suffix(".svg")
    with svg_settings(stem), missing_glyphs():
        figure.savefig(path, metadata={"Date": None})
    return [png, path]


def save_png(figure: Figure, path: Path, *, dpi: int, hint: str = "") -> None:
    """Write a figure as PNG; one line of the log says if its font lacks signs.

    Args:
        figure: what to write.
        path: of the file.
        dpi: dots per inch.
        hint: the end of that line.
    """
    with missing_glyphs() as lacking:
        figure.savefig(path, dpi=dpi)
    # A set, since axes that share ticks have the same labels.
    texts = {str(text.get_text()) for text in figure.findobj(Text)}
    count = sum(not lacking.isdisjoint(text) for text in texts)
    if count:
        _LOGGER.warning(
            "%s lacks the signs of %d label%s that its font does not have%s",
            path.name,
            count,
            "" if count == 1 else "s",
            hint,
        )


@contextlib.contextmanager
def missing_glyphs() -> Iterator[set[str]]:
    """Collect the signs that a font lacks, in place of a warning for each; others still come."""
    lacking: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lacking
    for each in caught:
        found = _MISSING_GLYPH.match(str(each.message))
        if found:
            lacking.add(chr(int(found.group(1))))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
