"""Draws charts with matplotlib: grids into files, single charts as SVG inside a page."""

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
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from latentwave.bench.report.charts import COLOURS, Chart, ChartGrid
from latentwave.bench.report.formats import format_count

_LEGEND_LINE = 19.0  # points
_STYLE: Any = {
    "text.parse_math": False,  # names may contain $
    "font.family": ["DejaVu Sans"],  # part of matplotlib; pages replace it by their own font
    "svg.fonttype": "none",  # keep text as text
    "agg.path.chunksize": 20_000,  # long recordings
    "figure.facecolor": COLOURS["paper"],
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.edgecolor": COLOURS["muted"],
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.labelsize": 11.0,
    "axes.labelcolor": COLOURS["muted"],
    "axes.titlesize": 12.0,
    "axes.titlecolor": COLOURS["muted"],
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "xaxis.labellocation": "left",
    "xtick.color": COLOURS["muted"],
    "xtick.labelsize": 11.0,
    "xtick.major.size": 0.0,
    "xtick.major.pad": 4.0,
    "ytick.color": COLOURS["muted"],
    "ytick.labelsize": 11.0,
    "ytick.major.size": 0.0,
    "ytick.major.pad": 4.0,
    "grid.color": COLOURS["rule"],
    "legend.fontsize": 11.0,
    "legend.labelcolor": COLOURS["ink"],
    "legend.frameon": False,
    "legend.handlelength": 1.8,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def draw(charts: Sequence[Chart], columns: int = 1) -> Figure:
    """Draw charts row by row with one common legend, without pyplot's global state."""
    widths = [chart.width for chart in charts[:columns]]
    heights = [chart.height for chart in charts[::columns]]
    with mpl.rc_context(_STYLE):
        figure = Figure(layout=ConstrainedLayoutEngine(w_pad=8 / 72, h_pad=6 / 72))
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(
            len(heights), columns, squeeze=False, width_ratios=widths, height_ratios=heights
        )
        entries: dict[str, Any] = {}  # the first line drawn under each name
        for axes, chart in itertools.zip_longest(grid.flat, charts):
            if chart is None:
                axes.set_visible(False)
                continue
            chart.draw(axes)
            _set_ticks(axes)
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                entries.setdefault(label, handle)
        longest = max(map(len, entries), default=0)
        legend_columns = max(1, min(len(entries), int(sum(widths) / (34 + 6.6 * longest))))
        legend_rows = math.ceil(len(entries) / legend_columns)
        figure.set_size_inches(sum(widths) / 72, (sum(heights) + legend_rows * _LEGEND_LINE) / 72)
        if entries:
            style: Any = {"loc": "outside lower left", "ncols": legend_columns}
            figure.legend(entries.values(), entries, **style)
    return figure


def _set_ticks(axes: Axes) -> None:
    """Use a few round numbers, unless a chart has set its ticks."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        if isinstance(axis.get_major_locator(), FixedLocator):
            continue
        places: Any = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        if axis.get_scale() == "log":
            places = LogLocator(subs=(1, 2, 5), numticks=8)
        axis.set_major_locator(places)
        axis.set_major_formatter(_tick_label)


def _tick_label(value: float, _: object = None) -> str:
    """Format the number at a tick.

    Example:
        >>> [_tick_label(value) for value in (-0.25, 12000.0, 1.5e6)]
        ['−0.25', '12,000', '1.5 M']
    """
    text = f"{value:,.6g}" if abs(value) < 1e5 else format_count(value)
    return text.replace("-", "−")


def write_grid(grid: ChartGrid, folder: Path, *, svg: bool = False) -> list[Path]:
    """Write a grid as `NAME.png`, and as `NAME.svg` on request, with the same bytes each time."""
    figure = draw(grid.charts, grid.columns)
    paths = [folder / f"{grid.name}.png"]
    with _reproducible(grid.name):
        figure.savefig(paths[0], dpi=180)
        if svg:
            paths.append(paths[0].with_suffix(".svg"))
            figure.savefig(paths[1], metadata={"Date": None})
    return paths


def inline_svg(chart: Chart, name: str) -> str:
    """Draw a chart as an SVG element without addresses, scripts or ids of other charts.

    Colours are those of `COLOURS`, which the pages' style sheet replaces in dark mode. The name
    must be unique in the page.
    """
    buffer = io.BytesIO()
    with _reproducible(name):
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw([chart]).savefig(buffer, format="svg", metadata=no_metadata, transparent=True)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written by matplotlib
    for group in root.iter(f"{{{_SVG}}}g"):
        group.attrib.pop("id", None)  # matplotlib starts counting again in every file
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "aria-hidden": "true", "focusable": "false"}
    text = ElementTree.tostring(root, encoding="unicode")
    # HTML knows both name spaces.
    return text.replace(f' xmlns="{_SVG}"', "").replace(f' xmlns:xlink="{_XLINK}"', "")


@contextlib.contextmanager
def _reproducible(salt: str) -> Iterator[None]:
    """Make files reproducible; characters that the font does not have become boxes, silently."""
    with warnings.catch_warnings(), mpl.rc_context(_STYLE | {"svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", "Glyph .*missing from")
        yield
