"""What a figure shows, as data: lines, points and heat maps in charts, and charts in grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Real

BASELINE_SLOT, WHITE_SLOT = -1, -2
Values = Sequence[float] | Real[np.ndarray, " n"]

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
    """The name in `COLOURS` of a series' colour; None: not told from others.

    Example:
        >>> [colour_name(slot) for slot in (-1, 0, 7, None)]
        ['ink', 'c0', 'c1', 'muted']
    """
    if slot is None:
        return "muted"
    special = {BASELINE_SLOT: "ink", WHITE_SLOT: "white"}
    return special.get(slot, f"c{slot % NUM_SERIES_COLOURS}")


@dataclass(frozen=True)
class Series:
    """A line, or points."""

    x: Values  # places; NaN leaves a gap
    y: Values  # as many
    name: str = ""  # in the legend; empty: not there
    detail: str = ""  # after the name, in brackets, where all charts beside it say the same
    slot: int | None = 0  # its colour, see `colour_name`; past the last colour lines are dashed
    line: bool = True  # whether points are joined
    points: bool = False  # whether each gets a dot
    thin: bool = False  # drawn thin and pale, as a single seed is
    low: Values = ()  # lower ends of a band around a line, or of bars through points
    high: Values = ()  # upper ends
    bars: bool = False  # whether low and high are bars
    sideways: bool = False  # whether low and high are places on the x axis
    hollow: Sequence[int] = ()  # indices of points that are not filled
    labels: Sequence[str] = ()  # a text beside each point; may be empty


@dataclass(frozen=True)
class Axis:
    """One axis of a chart."""

    label: str = ""  # with the unit
    scale: Literal["linear", "log", "log2"] = "linear"  # "log2" has ticks at powers of two
    # lowest and highest value shown; None: whatever fits
    window: tuple[float | None, float | None] | None = None
    ticks: Mapping[float, str] | None = None  # names by place; None: chosen by the drawing
    grid: bool = False  # whether ticks get lines
    upright: bool = False  # whether the names of its ticks stand on end


@dataclass(frozen=True)
class HeatMap:
    """Values as colours."""

    values: Float[np.ndarray, "N T"]  # (N, T), row 0 at the bottom; NaN is left empty
    low: float  # value of the first colour
    high: float  # of the last
    colours: str = "magma"  # a colour map of matplotlib
    unit: str | None = None  # beside the scale of colours; None: no scale
    x: Float[np.ndarray, " T_1"] | None = None  # edges of columns; None: their middles are 0, 1, …
    y: Float[np.ndarray, " N_1"] | None = None  # edges of rows; None: 0, 1, …


@dataclass(frozen=True)
class Chart:
    """One pair of axes and what lies in them."""

    title: str = ""  # above the axes
    x: Axis = field(default_factory=Axis)  # the horizontal axis
    # the vertical one; its label is left out where the title says it
    y: Axis = field(default_factory=lambda: Axis(grid=True))
    series: Sequence[Series] = ()  # later ones lie on top
    heat_map: HeatMap | None = None  # below them
    level: float | None = None  # where a dashed line crosses the chart, a value of y
    border: float | None = None  # where a dashed line stands, a value of x
    alt: str = ""  # all that in words, for those who do not see it
    caption: str = ""  # below it on a page
    width: float = 420.0  # in points, 72 to the inch
    height: float = 290.0  # in points, without a legend


@dataclass(frozen=True)
class ChartGrid:
    """Charts that belong together: a section of a page, and one file for papers."""

    name: str  # of the file, and before the ids of a page
    title: str  # of the section
    charts: Sequence[Chart]  # row by row; those of a row are as high, those of a column as wide
    columns: int = 1  # of the file; a page has as many as there is room for
    note: str = ""  # how to read them


def shorten(name: str, longest: int = 20) -> str:
    """A name on one line, cut where a legend would need half of the figure."""
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"
