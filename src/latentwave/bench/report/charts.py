"""What a figure shows, as data: lines, points and heat maps in charts, and charts in grids.

`drawing` makes files and elements of a page from these; nothing else draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

BASELINE_SLOT, WHITE_SLOT = -1, -2

# By their names in the style sheet of the pages. The series are Okabe and Ito's colours, told
# apart by every kind of colour vision, without their yellow, which is too pale for lines on white.
COLOURS = {
    "paper": "#ffffff",
    "white": "#fefefe",  # in the dark too
    "ink": "#16191d",
    "muted": "#59616b",
    "rule": "#dfe3e8",
    "c0": "#0072b2",
    "c1": "#d55e00",
    "c2": "#009e73",
    "c3": "#cc79a7",
    "c4": "#e69f00",
    "c5": "#56b4e9",
}
NUM_SERIES_COLOURS = 6


def colour_name(slot: int | None) -> str:
    """The name of a series' colour in `COLOURS`.

    Args:
        slot: counts series from 0, `BASELINE_SLOT` or `WHITE_SLOT`; None: not told from others.

    Example:
        >>> [colour_name(slot) for slot in (-1, 0, 7, None)]
        ['ink', 'c0', 'c1', 'muted']
    """
    if slot is None:
        return "muted"
    special = {BASELINE_SLOT: "ink", WHITE_SLOT: "white"}
    return special.get(slot, f"c{slot % NUM_SERIES_COLOURS}")


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line, or points.

    Attributes:
        x: places; NaN leaves a gap.
        y: as many.
        name: in the legend; empty: not there.
        detail: after the name, in brackets, where all charts beside it say the same.
        slot: its colour, see `colour_name`; past the last colour lines are dashed.
        line: whether points are joined.
        points: whether each gets a dot.
        thin: drawn thin and pale, as a single seed is.
        low: lower ends of a band around a line, or of bars through points.
        high: upper ends.
        bars: whether low and high are bars.
        sideways: whether low and high are places on the x axis.
        hollow: indices of points that are not filled.
        labels: a text beside each point; may be empty.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    detail: str = ""
    slot: int | None = 0
    line: bool = True
    points: bool = False
    thin: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    bars: bool = False
    sideways: bool = False
    hollow: Sequence[int] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: with the unit.
        scale: "log2" has ticks at powers of two.
        window: lowest and highest value shown; None: whatever fits.
        ticks: names by place; None: chosen by the drawing.
        grid: whether ticks get lines.
        upright: whether the names of its ticks stand on end.
    """

    label: str = ""
    scale: Literal["linear", "log", "log2"] = "linear"
    window: tuple[float | None, float | None] | None = None
    ticks: Mapping[float, str] | None = None
    grid: bool = False
    upright: bool = False


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Values as colours.

    Attributes:
        values: (N, T), row 0 at the bottom; NaN is left empty.
        x: (T + 1,), edges of the columns.
        y: (N + 1,), edges of the rows.
        low: value of the first colour.
        high: of the last.
        colours: a colour map of matplotlib.
        unit: beside the scale of colours; None: no scale.
    """

    values: Float[np.ndarray, "N T"]
    x: Float[np.ndarray, " T_1"]
    y: Float[np.ndarray, " N_1"]
    low: float
    high: float
    colours: str = "magma"
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One pair of axes and what lies in them.

    Attributes:
        title: above the axes.
        x: the horizontal axis.
        y: the vertical one; its label is left out where the title says it.
        series: later ones lie on top.
        heat_map: below them.
        level: where a dashed line crosses the chart, a value of y.
        border: where a dashed line stands, a value of x.
        alt: all that in words, for those who do not see it.
        caption: below it on a page.
        width: in points, 72 to the inch.
        height: in points, without a legend.
    """

    title: str = ""
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=lambda: Axis(grid=True))
    series: Sequence[Series] = ()
    heat_map: HeatMap | None = None
    level: float | None = None
    border: float | None = None
    alt: str = ""
    caption: str = ""
    width: float = 420.0
    height: float = 290.0


@dataclass(frozen=True, kw_only=True)
class ChartGrid:
    """Charts that belong together: a section of a page, and one file for papers.

    Attributes:
        name: of the file, and before the ids of a page.
        title: of the section.
        charts: row by row; those of a row are as high, those of a column as wide.
        columns: of the file; a page has as many as there is room for.
        note: how to read them.
    """

    name: str
    title: str
    charts: Sequence[Chart]
    columns: int = 1
    note: str = ""


def shorten(name: str, longest: int = 20) -> str:
    r"""A name on one line, cut where a legend would need half of the figure.

    Example:
        >>> shorten("a name\nthat is far too long")
        'a name that is far …'
    """
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"
