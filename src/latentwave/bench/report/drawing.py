"""Draw charts with matplotlib: as PNG and SVG files, and as SVG elements of a page."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from latentwave.bench.report.charts import (
    COLOURS,
    NUM_SERIES_COLOURS,
    Axis,
    Chart,
    ChartGrid,
    HeatMap,
    Series,
    colour_name,
)
from latentwave.bench.report.formats import printable

_LOGGER = logging.getLogger(__name__)
_TEXT, _SMALL = 12.0, 11.0  # points
_LEGEND_LINE = 19.0  # points
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)))
_SETTINGS: Any = {
    "text.parse_math": False,  # names may have $ in them
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; pages have a font of their own
    "svg.fonttype": "none",  # text stays text
    "axes.axisbelow": True,
}
_SVG = "http://www.w3.org/2000/svg"
_GLYPH = re.compile(r"Glyph (\d+) .*missing from")


def draw(charts: Sequence[Chart], columns: int = 1) -> Figure:
    """Draw charts side by side and below one another, with one legend for all.

    Args:
        charts: row by row.
        columns: charts in a row.

    Returns:
        A figure that is tied to no window and no global state.
    """
    rows = math.ceil(len(charts) / columns)
    widths = [chart.width for chart in charts[:columns]]
    heights = [chart.height for chart in charts[::columns]]
    with mpl.rc_context(_SETTINGS):
        entries = _legend_entries(charts)
        longest = max((len(str(entry.get_label())) for entry in entries), default=0)
        legend_columns = max(1, min(len(entries), int(sum(widths) / (34 + 6.6 * longest))))
        legend_rows = math.ceil(len(entries) / legend_columns)
        figure = Figure(
            figsize=(sum(widths) / 72, (sum(heights) + legend_rows * _LEGEND_LINE) / 72),
            facecolor=COLOURS["paper"],
            layout=ConstrainedLayoutEngine(w_pad=8 / 72, h_pad=6 / 72),
        )
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(
            rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights
        )
        for axes, chart in itertools.zip_longest(grid.flat, charts):
            if chart is None:
                axes.set_visible(False)
            else:
                _draw_chart(axes, chart)
        if entries:
            figure.legend(
                handles=entries,
                loc="outside lower left",
                ncols=legend_columns,
                frameon=False,
                fontsize=_SMALL,
                labelcolor=COLOURS["ink"],
                handlelength=1.8,
            )
    return figure


def write_grid(grid: ChartGrid, folder: Path, *, dpi: int = 180, svg: bool = False) -> list[Path]:
    """Write a grid as `NAME.png`, and as `NAME.svg` if that is wanted.

    Returns:
        The files; the same grid gives the same bytes.
    """
    figure = draw(grid.charts, grid.columns)
    paths = [folder / f"{grid.name}.png"]
    with _drawn_quietly(paths[0].name):
        figure.savefig(paths[0], dpi=dpi)
    if svg:
        paths.append(folder / f"{grid.name}.svg")
        with _drawn_quietly(), mpl.rc_context(_SETTINGS | {"svg.hashsalt": grid.name}):
            figure.savefig(paths[1], metadata={"Date": None})
    return paths


def inline_svg(chart: Chart, name: str) -> str:
    """A chart as an SVG element.

    The colours are those of `COLOURS`; the pages' style sheet replaces them in the dark.

    Args:
        chart: to draw.
        name: unique in the page.

    Returns:
        The element, with no address, no script, and no id that another chart has.
    """
    buffer = io.BytesIO()
    with _drawn_quietly(), mpl.rc_context(_SETTINGS | {"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure = draw([chart])
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    for prefix, address in (("", _SVG), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written by matplotlib
    for group in root.iter(f"{{{_SVG}}}g"):
        group.attrib.pop("id", None)  # matplotlib counts them anew in every file
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "aria-hidden": "true", "focusable": "false"}
    text = ElementTree.tostring(root, encoding="unicode")
    # HTML knows the namespaces of its svg elements.
    return text.replace(f' xmlns="{_SVG}"', "").replace(
        ' xmlns:xlink="http://www.w3.org/1999/xlink"', ""
    )


@contextlib.contextmanager
def _drawn_quietly(file: str = "") -> Iterator[None]:
    """One line of the log, not a warning each, for the signs that the font of a file lacks."""
    missing = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        if found := _GLYPH.match(str(each.message)):
            missing.add(found.group(1))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if missing and file:
        _LOGGER.warning(
            "%s shows boxes for %d signs that its font lacks; the page has them", file, len(missing)
        )


def _draw_chart(axes: Axes, chart: Chart) -> None:
    axes.set_facecolor("none")
    if chart.heat_map is not None:
        _draw_heat_map(axes, chart.heat_map)
    _style_axis(axes, "x", chart.x)
    _style_axis(axes, "y", chart.y)
    for series in chart.series:
        _draw_series(axes, series)
    dashed: dict[str, Any] = {"color": COLOURS["ink"], "linewidth": 0.9, "dashes": (4, 3)}
    if chart.level is not None:
        axes.axhline(chart.level, **dashed, zorder=1.5)
    if chart.border is not None:
        axes.axvline(chart.border, **(dashed | {"color": COLOURS["c1"], "linewidth": 1.2}))
    if chart.x.window is not None:
        axes.set_xlim(*chart.x.window)
    if chart.y.window is not None:
        axes.set_ylim(*chart.y.window)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set(color=COLOURS["muted"], linewidth=0.8)
    axes.tick_params(length=0, colors=COLOURS["muted"], labelsize=_SMALL, pad=4)
    axes.set_xlabel(printable(chart.x.label), color=COLOURS["muted"], fontsize=_SMALL, loc="left")
    axes.set_ylabel(printable(chart.y.label), color=COLOURS["muted"], fontsize=_SMALL)
    axes.set_title(
        printable(chart.title), color=COLOURS["muted"], fontsize=_TEXT, loc="left", pad=8
    )


def _style_axis(axes: Axes, which: str, axis: Axis) -> None:
    own: Any = axes.xaxis if which == "x" else axes.yaxis
    if axis.scale != "linear":
        getattr(axes, f"set_{which}scale")("log", base=2 if axis.scale == "log2" else 10)
    if axis.ticks is not None:
        own.set_ticks(list(axis.ticks), labels=[printable(name) for name in axis.ticks.values()])
        own.set_minor_locator(NullLocator())
    elif axis.scale == "linear":
        own.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        own.set_major_formatter(FuncFormatter(_number))
    else:
        subs = (1.0,) if axis.scale == "log2" else (1.0, 2.0, 5.0)
        base = 2 if axis.scale == "log2" else 10
        own.set_major_locator(LogLocator(base=base, subs=subs, numticks=8))
        own.set_minor_locator(NullLocator())
        own.set_major_formatter(FuncFormatter(_number))
    if axis.grid:
        own.grid(visible=True, color=COLOURS["rule"], linewidth=0.8)
    for label in own.get_ticklabels() if axis.upright else ():
        label.set_rotation(90)


def _number(value: float, _: object = None) -> str:
    """A tick.

    Example:
        >>> [_number(value) for value in (-0.25, 12000.0, 3e15)]
        ['−0.25', '12,000', '3e15']
    """
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}".replace("e+", "e")
    return text.replace("-", "−")


def _draw_series(axes: Axes, series: Series) -> None:
    stroke = _stroke(series)
    colour, layer = stroke["color"], 1.8 if series.slot is None else 2.0 if series.thin else 3.0
    if len(series.low) and series.bars:
        value = np.asarray(series.x if series.sideways else series.y, dtype=float)
        ends = np.stack([value - np.asarray(series.low), np.asarray(series.high) - value])
        which = "xerr" if series.sideways else "yerr"
        axes.errorbar(
            series.x,
            series.y,
            **{which: np.maximum(np.nan_to_num(ends), 0.0)},
            fmt="none",
            ecolor=colour,
            elinewidth=1.2,
            alpha=stroke.get("alpha", 0.8),
            zorder=layer,
        )
    elif len(series.low):
        axes.fill_between(
            series.x, series.low, series.high, color=colour, alpha=0.15, linewidth=0, zorder=2
        )
    if series.line:
        axes.plot(series.x, series.y, **stroke, zorder=layer, solid_capstyle="round")
    if series.points:
        hollow = np.isin(np.arange(len(series.x)), series.hollow)
        for chosen, inside, edge in ((~hollow, colour, "paper"), (hollow, COLOURS["paper"], None)):
            axes.plot(
                np.asarray(series.x, dtype=float)[chosen],
                np.asarray(series.y, dtype=float)[chosen],
                linestyle="none",
                marker="o",
                markersize=5.0 if series.slot is None or series.line else 6.5,
                alpha=stroke.get("alpha"),
                markerfacecolor=inside,
                markeredgecolor=COLOURS[edge] if edge else colour,
                zorder=layer + 1,
            )
    for text, x, y in zip(series.labels, series.x, series.y, strict=False):
        axes.annotate(
            printable(text),
            (x, y),
            xytext=(4, 4),
            textcoords="offset points",
            color=COLOURS["muted" if series.slot is None else "ink"],
            fontsize=_SMALL - 1,
            zorder=6,
        )


def _stroke(series: Series) -> dict[str, Any]:
    colour = COLOURS[colour_name(series.slot)]
    if series.slot is None:
        return {"color": colour, "linewidth": 1.0, "alpha": 0.45}
    if series.thin:
        return {"color": colour, "linewidth": 0.8, "alpha": 0.45}
    dash = _DASHES[max(series.slot, 0) // NUM_SERIES_COLOURS % len(_DASHES)]
    return {"color": colour, "linewidth": 2.0, "linestyle": dash}


def _legend_entries(charts: Sequence[Chart]) -> list[Line2D]:
    """One line for each name, as it is drawn first."""
    named: dict[str, list[Series]] = {}
    for series in (series for chart in charts for series in chart.series if series.name):
        named.setdefault(series.name, []).append(series)
    entries = []
    for name, same in named.items():
        style = _stroke(same[0])
        if not same[0].line:
            style |= {"marker": "o", "linestyle": "none"}
        details = {series.detail for series in same}
        detail = details.pop() if len(details) == 1 else ""
        entries.append(
            Line2D([], [], label=printable(f"{name} ({detail})" if detail else name), **style)
        )
    return entries


def _draw_heat_map(axes: Axes, heat_map: HeatMap) -> None:
    if not math.isfinite(heat_map.low) or not math.isfinite(heat_map.high):
        return  # of a model that diverged
    rows, columns = heat_map.values.shape
    image = axes.pcolormesh(
        np.arange(columns + 1) - 0.5 if heat_map.x is None else heat_map.x,
        np.arange(rows + 1) if heat_map.y is None else heat_map.y,
        heat_map.values,
        cmap=heat_map.colours,
        vmin=heat_map.low,
        vmax=heat_map.high,
        rasterized=True,
    )
    figure: Any = axes.figure
    if heat_map.unit is not None:
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=24, fraction=0.05)
        bar.set_label(heat_map.unit, fontsize=_SMALL, color=COLOURS["muted"])
        bar.ax.tick_params(labelsize=_SMALL - 1, colors=COLOURS["muted"], length=2)
        bar.outline.set_visible(False)
