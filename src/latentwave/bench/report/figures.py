"""Charts drawn: grids as files, single ones as SVG inside a page."""

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
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from latentwave.bench.report.charts import COLOURS, Chart, ChartGrid
from latentwave.bench.report.formats import format_count

_LEGEND_LINE = 19.0  # points
_STYLE: Any = {
    "text.parse_math": False,  # names may have $ in them
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; pages have a font of their own
    "svg.fonttype": "none",  # text stays text
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
    """Draw charts row by row, with one legend for all; tied to no window and no global state."""
    widths = [chart.width for chart in charts[:columns]]
    heights = [chart.height for chart in charts[::columns]]
    with mpl.rc_context(_STYLE):
        figure = Figure(layout=ConstrainedLayoutEngine(w_pad=8 / 72, h_pad=6 / 72))
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(
            len(heights), columns, squeeze=False, width_ratios=widths, height_ratios=heights
        )
        entries: dict[str, Any] = {}  # a line for each name, as it is drawn first
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
    """Few round numbers where a chart names no ticks of its own."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        if isinstance(axis.get_major_locator(), FixedLocator):
            continue
        places: Any = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        if axis.get_scale() == "log":
            places = LogLocator(subs=(1, 2, 5), numticks=8)
        axis.set_major_locator(places)
        axis.set_major_formatter(_number)


def _number(value: float, _: object = None) -> str:
    """A tick.

    Example:
        >>> [_number(value) for value in (-0.25, 12000.0, 1.5e6)]
        ['−0.25', '12,000', '1.5 M']
    """
    text = f"{value:,.6g}" if abs(value) < 1e5 else format_count(value)
    return text.replace("-", "−")


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
    with warnings.catch_warnings(), mpl.rc_context(_STYLE | {"svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", "Glyph .*missing from")
        yield
