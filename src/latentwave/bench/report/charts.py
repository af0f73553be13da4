"""What a chart is, and the colours, lines and dots that all charts share."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from matplotlib.axes import Axes

from latentwave.bench.training.progress import without_controls

BASELINE_SLOT = -1
Values = Sequence[float] | Real[np.ndarray, " n"]

# Keys are the names in the pages' style sheet. The series take Okabe and Ito's colours, which
# colour-blind readers can tell apart, without the yellow: lines in it are too pale on white.
COLOURS = {
    "paper": "#ffffff",
    "white": "#fefefe",  # stays white in dark mode
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
_NUM_SERIES_COLOURS = 6
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)))
_MARKERS = "os^"

GREY: Any = {"color": COLOURS["muted"], "linewidth": 1.0, "alpha": 0.45, "zorder": 1.8}
DASHED: Any = {"color": COLOURS["ink"], "linewidth": 0.9, "dashes": (4, 3), "zorder": 1.5}


@dataclass(frozen=True)
class Chart:
    """One pair of axes, and what a page says about it."""

    draw: Callable[[Axes], None]  # draws everything, title and labels included
    alt: str = ""  # describes the chart to readers who cannot see it
    caption: str = ""  # stands below it on a page
    width: float = 420.0  # in points, 72 to the inch
    height: float = 290.0  # in points, without a legend


@dataclass(frozen=True)
class ChartGrid:
    """Charts that belong together: one section of a page, one file for papers."""

    name: str  # of the file
    title: str  # of the section
    charts: Sequence[Chart]  # row by row; a row shares its height, a column its width
    columns: int = 1  # in the file; a page fits as many as it has room for
    note: str = ""  # how to read the charts


def shorten(name: str, longest: int = 20) -> str:
    """Put a name on one line, and cut its middle if a legend would take half the figure.

    Example:
        >>> shorten("learnable_wavelet-levels-3")
        'learnable_…-levels-3'
    """
    name = without_controls(" ".join(name.split()))
    end = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - end]}…{name[-end:]}"


def shorten_all(names: Iterable[str]) -> dict[str, str]:
    """Map names to their `shorten` forms; names that would become equal stay whole.

    Example:
        >>> shorten_all(["learnable_wavelet-levels-3"])
        {'learnable_wavelet-levels-3': 'learnable_…-levels-3'}
        >>> list(shorten_all(["haar-with-2-taps-after-mlp", "haar-with-4-taps-after-mlp"]).values())
        ['haar-with-2-taps-after-mlp', 'haar-with-4-taps-after-mlp']
    """
    short = {name: shorten(name) for name in names}
    uses = Counter(short.values())
    return {
        name: text if uses[text] == 1 else shorten(name, longest=1000)
        for name, text in short.items()
    }


def colour(slot: int | None) -> str:
    """The colour of a series: ink for the baseline, grey for None; the others repeat in turn."""
    if slot is None:
        return COLOURS["muted"]
    return COLOURS["ink" if slot == BASELINE_SLOT else f"c{slot % _NUM_SERIES_COLOURS}"]


def line(slot: int) -> Any:
    """Matplotlib's options for the line of a series; dashed once the colours are used up."""
    dash = _DASHES[_palette_round(slot) % len(_DASHES)]
    style = {"color": colour(slot), "linewidth": 2.0, "linestyle": dash, "zorder": 3.0}
    # Only the legend shows the marker: charts call `dots` where they want dots.
    return style | ({"marker": _marker(slot), "markevery": []} if _palette_round(slot) else {})


def _palette_round(slot: int | None) -> int:
    """How many times earlier series have used up all colours."""
    return max(slot or 0, 0) // _NUM_SERIES_COLOURS


def _marker(slot: int | None) -> str:
    return _MARKERS[_palette_round(slot) % len(_MARKERS)]


def thin_line(slot: int) -> Any:
    """Matplotlib's options for the line of a single seed."""
    return {"color": colour(slot), "linewidth": 0.8, "alpha": 0.45, "zorder": 2.0}


def dots(
    axes: Axes,
    x: Values,
    y: Values,
    slot: int | None,
    *,
    hollow: bool = False,
    label: str | None = None,
) -> None:
    """Draw a dot at each place, pale for slot None, and name them in the legend by `label`.

    Once the colours are used up, dots become squares, then triangles.
    """
    face, edge = colour(slot), COLOURS["paper"]
    if hollow:
        face, edge = edge, face
    style: Any = {"markerfacecolor": face, "markeredgecolor": edge, "label": label}
    alpha, size, layer = (0.45, 5.0, 2.8) if slot is None else (1.0, 6.0, 4.0)
    axes.plot(x, y, _marker(slot), alpha=alpha, markersize=size, zorder=layer, **style)


def bars(axes: Axes, x: Values, y: Values, ends: tuple[Values, Values], slot: int | None) -> None:
    """Draw a vertical interval through each place, except where an end is NaN."""
    sizes = np.maximum(np.nan_to_num([np.subtract(y, ends[0]), np.subtract(ends[1], y)]), 0.0)
    style: Any = {"fmt": "none", "ecolor": colour(slot), "elinewidth": 1.2}
    alpha, layer = (0.45, 1.8) if slot is None else (0.8, 3.0)
    axes.errorbar(x, y, yerr=sizes, alpha=alpha, zorder=layer, **style)


def annotate(axes: Axes, x: Values, y: Values, texts: Sequence[str], slot: int | None) -> None:
    """Write a text beside each place."""
    style: Any = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 10.0, "zorder": 6}
    ink = COLOURS["muted" if slot is None else "ink"]
    for text, *place in zip(texts, x, y, strict=True):
        axes.annotate(text, tuple(place), color=ink, **style)


def band(axes: Axes, x: Values, low: Values, high: Values, slot: int) -> None:
    """Shade the range around a line."""
    axes.fill_between(x, low, high, color=colour(slot), alpha=0.15, linewidth=0, zorder=2)


def log2_axis(axes: Axes, ticks: Mapping[float, str], low: float, high: float) -> None:
    """Scale x by powers of two from low to high, and name its ticks."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(low, high)


def heat_map(
    axes: Axes,
    values: Float[np.ndarray, "N T"],
    low: float,
    high: float,
    colours: str,
    *,
    x: Float[np.ndarray, " T_1"] | None = None,
    unit: str | None = None,
) -> None:
    """Draw values between low and high in one of matplotlib's colour maps, row 0 at the bottom.

    `x` holds the edges of the columns; by default they are centred on 0, 1, … A unit adds the
    colour bar.
    """
    axes.grid(visible=False)
    rows, columns = values.shape
    edges = np.arange(columns + 1) - 0.5 if x is None else x
    style: Any = {"cmap": colours, "vmin": low, "vmax": high, "rasterized": True}
    image = axes.pcolormesh(edges, np.arange(rows + 1), values, **style)
    if unit is not None:
        colour_bar(axes, image, unit)


def colour_bar(axes: Axes, image: Any, unit: str) -> None:
    """Put a colour bar beside an image."""
    figure: Any = axes.figure
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=24, fraction=0.05)
    bar.set_label(unit)
    bar.ax.tick_params(labelsize=10.0, length=2)
    bar.outline.set_visible(False)
