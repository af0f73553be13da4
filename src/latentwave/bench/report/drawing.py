"""Draw charts with matplotlib: as PNG and SVG files, and as SVG elements of a page."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
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

_TEXT, _SMALL = 12.0, 11.0  # points
_LEGEND_LINE = 19.0  # points
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)))
_SETTINGS: Any = {
    "text.parse_math": False,  # names may have $ in them
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; pages have a font of their own
    "svg.fonttype": "none",  # text stays text
    "axes.axisbelow": True,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def draw(charts: Sequence[Chart], columns: int = 1) -> Figure:
    """Draw charts row by row, with one legend for all; tied to no window and no global state."""
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


def write_grid(grid: ChartGrid, folder: Path, *, svg: bool = False) -> list[Path]:
    """Write a grid as `NAME.png`, and as `NAME.svg` if wanted; the same grid, the same bytes."""
    figure = draw(grid.charts, grid.columns)
    paths = [folder / f"{grid.name}.{kind}" for kind in (["png", "svg"] if svg else ["png"])]
    with _drawn(grid.name):
        for path in paths:
            options = {"dpi": 180} if path.suffix == ".png" else {"metadata": {"Date": None}}
            figure.savefig(path, **options)
    return paths


def inline_svg(chart: Chart, name: str) -> str:
    """A chart as an SVG element, with no address, no script, and no id that another chart has.

    The colours are those of `COLOURS`; the pages' style sheet replaces them in the dark. The name
    is unique in the page.
    """
    buffer = io.BytesIO()
    with _drawn(name):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw([chart]).savefig(buffer, format="svg", metadata=nothing, transparent=True)
    for prefix, address in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written by matplotlib
    for group in root.iter(f"{{{_SVG}}}g"):
        group.attrib.pop("id", None)  # matplotlib counts them anew in every file
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "aria-hidden": "true", "focusable": "false"}
    text = ElementTree.tostring(root, encoding="unicode")
    for prefix, address in (("", _SVG), (":xlink", _XLINK)):  # HTML knows them
        text = text.replace(f' xmlns{prefix}="{address}"', "")
    return text


@contextlib.contextmanager
def _drawn(salt: str) -> Iterator[None]:
    """The same bytes each time; signs that the font of a file lacks are boxes there."""
    with warnings.catch_warnings(), mpl.rc_context(_SETTINGS | {"svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", "Glyph .*missing from")
        yield


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
    for axis, limit in ((chart.x, axes.set_xlim), (chart.y, axes.set_ylim)):
        if axis.window is not None:
            limit(*axis.window)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set(color=COLOURS["muted"], linewidth=0.8)
    axes.tick_params(length=0, colors=COLOURS["muted"], labelsize=_SMALL, pad=4)
    muted: Any = {"color": COLOURS["muted"]}
    axes.set_xlabel(printable(chart.x.label), fontsize=_SMALL, loc="left", **muted)
    axes.set_ylabel(printable(chart.y.label), fontsize=_SMALL, **muted)
    axes.set_title(printable(chart.title), fontsize=_TEXT, loc="left", pad=8, **muted)


def _style_axis(axes: Axes, which: str, axis: Axis) -> None:
    own: Any = axes.xaxis if which == "x" else axes.yaxis
    base = 2 if axis.scale == "log2" else 10
    if axis.scale != "linear":
        getattr(axes, f"set_{which}scale")("log", base=base)
    if axis.ticks is not None:
        own.set_ticks(list(axis.ticks), labels=[printable(name) for name in axis.ticks.values()])
    else:
        places: Any = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        if axis.scale != "linear":
            places = LogLocator(base=base, subs=(1.0,) if base == 2 else (1, 2, 5), numticks=8)
        own.set_major_locator(places)
        own.set_major_formatter(FuncFormatter(_number))
    own.set_minor_locator(NullLocator())
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
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    if len(series.low) and series.bars:
        value = x if series.sideways else y
        ends = np.stack([value - np.asarray(series.low), np.asarray(series.high) - value])
        bars: Any = {"xerr" if series.sideways else "yerr": np.maximum(np.nan_to_num(ends), 0.0)}
        bars |= {"fmt": "none", "ecolor": colour, "elinewidth": 1.2, "zorder": layer}
        axes.errorbar(x, y, **bars, alpha=stroke.get("alpha", 0.8))
    elif len(series.low):
        axes.fill_between(
            x, series.low, series.high, color=colour, alpha=0.15, linewidth=0, zorder=2
        )
    if series.line:
        axes.plot(x, y, **stroke, zorder=layer, solid_capstyle="round")
    if series.points:
        hollow = np.isin(np.arange(len(x)), series.hollow)
        for chosen, inside, edge in (
            (~hollow, colour, COLOURS["paper"]),
            (hollow, COLOURS["paper"], colour),
        ):
            axes.plot(
                x[chosen],
                y[chosen],
                "o",
                markersize=5.0 if series.slot is None or series.line else 6.5,
                alpha=stroke.get("alpha"),
                markerfacecolor=inside,
                markeredgecolor=edge,
                zorder=layer + 1,
            )
    style: Any = {"color": COLOURS["muted" if series.slot is None else "ink"], "zorder": 6}
    style |= {"xytext": (4, 4), "textcoords": "offset points", "fontsize": _SMALL - 1}
    for text, *place in zip(series.labels, x, y, strict=False):
        axes.annotate(printable(text), tuple(place), **style)


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
        marker = {} if same[0].line else {"marker": "o", "linestyle": "none"}
        details = {series.detail for series in same}
        detail = f" ({same[0].detail})" if len(details) == 1 and same[0].detail else ""
        label = printable(name + detail)
        entries.append(Line2D([], [], label=label, **(_stroke(same[0]) | marker)))
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
    if heat_map.unit is not None:
        figure: Any = axes.figure
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=24, fraction=0.05)
        bar.set_label(heat_map.unit, fontsize=_SMALL, color=COLOURS["muted"])
        bar.ax.tick_params(labelsize=_SMALL - 1, colors=COLOURS["muted"], length=2)
        bar.outline.set_visible(False)
