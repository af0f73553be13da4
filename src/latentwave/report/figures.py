"""Loss curves drawn by matplotlib, as PNG and SVG files and as SVG inside a page.

Lengths are in points, 72 to the inch: the units of an SVG's view box.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentwave.report.curves import Panel, make_panel
from latentwave.report.drawing import (
    CHARACTER_WIDTH,
    LIGHT,
    TEXT_SIZE,
    Palette,
    draw_axes,
    line_style,
    short_name,
)
from latentwave.report.results import MEASURES

# Stand-ins that the page's style sheet replaces, so that one drawing suits light and dark.
_STAND_INS = Palette(
    ink="#010203",
    muted="#040506",
    rule="#070809",
    paper="#0a0b0c",
    contestants=tuple(f"#0d0e1{i}" for i in range(6)),
)
_VARIABLES = {
    _STAND_INS.ink: "var(--ink)",
    _STAND_INS.muted: "var(--muted)",
    _STAND_INS.rule: "var(--rule)",
    _STAND_INS.paper: "var(--paper)",
} | {colour: f"var(--c{i})" for i, colour in enumerate(_STAND_INS.contestants)}


def save_figures(results: dict[str, Any], folder: Path, *, svg: bool = False) -> list[Path]:
    """Write `loss.png`, all panels side by side, and one `loss-<measure>.png` for each.

    Args:
        results: as `load_results` returns them.
        folder: an existing one.
        svg: also write each as SVG.

    Returns:
        The files; a measure that was not taken has none.
    """
    panels = [panel for measure in MEASURES if (panel := make_panel(results, measure))]
    figures = {f"loss-{panel.measure}": draw_panel(panel, 560.0, 380.0) for panel in panels}
    if panels:
        figures["loss"] = _draw_row(panels)
    paths = []
    for stem, figure in figures.items():
        for suffix in ("png", "svg") if svg else ("png",):
            path = folder / f"{stem}.{suffix}"
            with _settings(stem):
                figure.savefig(path, dpi=200, metadata={"Date": None} if suffix == "svg" else None)
            paths.append(path)
    return paths


def inline_svg(panel: Panel, width: float, height: float, name: str) -> str:
    """One panel as an SVG element for a page, its colours left to the page's style sheet.

    Args:
        panel: what to draw.
        width: of the view box.
        height: of the view box.
        name: unique in the page; goes before every id.

    Returns:
        The element. It holds no address, no script and no id that another element may have.
    """
    buffer = io.StringIO()
    with _settings(name):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw_panel(panel, width, height, _STAND_INS).savefig(
            buffer, format="svg", metadata=metadata, transparent=True
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # Everything below touches attributes alone, never a contestant's name inside a text element.
    root, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', root)
    root = f'<svg {box.group() if box else ""} aria-hidden="true" focusable="false"'

    def tidy(tag: re.Match[str]) -> str:
        inner = re.sub(r'\bid="', f'id="{name}-', tag.group())
        inner = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", inner)
        return re.sub(r"#[0-9a-f]{6}\b", lambda c: _VARIABLES.get(c.group(), c.group()), inner)

    return root + ">" + re.sub(r"<[^>]*>", tidy, rest)


def draw_panel(panel: Panel, width: float, height: float, palette: Palette = LIGHT) -> Figure:
    """One panel as a figure, each curve named at its end.

    Args:
        panel: what to draw.
        width: of the figure.
        height: of the figure.
        palette: its colours.

    Returns:
        The figure, tied to no window and no global state.
    """
    longest = max(len(short_name(c.name)) + 1 + len(c.final) for c in panel.curves)
    left, bottom, top = 38.0, 40.0, 26.0
    right = min(26 + longest * CHARACTER_WIDTH, 0.42 * width)
    figure = _new_figure(width, height, palette)
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - bottom - top) / height,
        )
    )
    draw_axes(axes, panel, palette, width - left - right, height - bottom - top, end_labels=True)
    return figure


def _draw_row(panels: list[Panel]) -> Figure:
    """The panels side by side, under one legend."""
    each, height, left, gap, bottom, top = 310.0, 340.0, 38.0, 46.0, 40.0, 52.0
    width = left + len(panels) * each + (len(panels) - 1) * gap + 14
    figure = _new_figure(width, height, LIGHT)
    for i, panel in enumerate(panels):
        x = (left + i * (each + gap)) / width
        plot_height = height - bottom - top
        axes = figure.add_axes((x, bottom / height, each / width, plot_height / height))
        draw_axes(axes, panel, LIGHT, each, plot_height, end_labels=False)
    handles = [
        Line2D([], [], label=f"{short_name(c.name)} {c.final}", **line_style(c, LIGHT))
        for c in panels[0].curves
    ]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((left - 6) / width, 1 - 2 / height),
        ncols=max(1, min(len(handles), 6)),
        frameon=False,
        fontsize=TEXT_SIZE,
        labelcolor=LIGHT.ink,
        handlelength=1.8,
        columnspacing=2.0,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _new_figure(width: float, height: float, palette: Palette) -> Figure:
    figure = Figure(figsize=(width / 72, height / 72), facecolor=palette.paper)
    FigureCanvasAgg(figure)
    return figure


def _settings(salt: str) -> Any:
    """Text stays text in an SVG, and the same results give the same file."""
    return mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt})
