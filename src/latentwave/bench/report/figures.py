"""Figures of a comparison by matplotlib, as PNG and SVG files and as SVG inside a page.

Lengths are in points, 72 to the inch: the units of an SVG's view box.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentwave.bench.report.axes import (
    CHARACTER_WIDTH,
    LIGHT,
    LINE_HEIGHT,
    SMALL_SIZE,
    TEXT_SIZE,
    Palette,
    line_style,
    short_name,
)
from latentwave.bench.report.canvas import (
    missing_glyphs,
    new_figure,
    save_with_page,
    svg_settings,
)
from latentwave.bench.report.curves import Panel, make_panel
from latentwave.bench.report.drawing import draw_axes, in_colour
from latentwave.bench.report.gaps import GapPanel, make_gaps
from latentwave.bench.report.pareto import ParetoPanel, make_pareto
from latentwave.bench.report.results import MEASURES
from latentwave.bench.report.scatter import draw_gaps, draw_pareto

PARETO_MEASURES = ("flops", "seconds")
_LEFT, _BOTTOM = 42.0, 40.0  # of the axes

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
    """Write the figures of a comparison.

    Args:
        results: as `load_results` returns them.
        folder: an existing one.
        svg: also write each as SVG.

    Returns:
        `loss-<measure>.png` for each measure, `loss.png` with all of them side by side,
        `pareto.png` and `gap.png`; what was not measured has none.
    """
    panels = [p for measure in MEASURES if (p := make_panel(results, measure))]
    figures = {f"loss-{panel.measure}": draw_panel(panel, 560.0, 380.0) for panel in panels}
    if panels:
        figures["loss"] = _draw_row(panels)
    found = (make_pareto(results, measure) for measure in PARETO_MEASURES)
    spent = [panel for panel in found if panel is not None]
    if spent:
        figures["pareto"] = _draw_pareto_row(spent)
    gaps = make_gaps(results)
    if gaps is not None:
        figures["gap"] = draw_gap_panel(gaps, 640.0, 400.0)
    paths: list[Path] = []
    for stem, figure in figures.items():
        paths += save_with_page(figure, folder, stem, dpi=200, svg=svg)
    return paths


def inline_svg(draw: Callable[[Palette], Figure], name: str) -> str:
    """A figure as an SVG element for a page, its colours left to the page's style sheet.

    Args:
        draw: makes the figure in the colours of a palette.
        name: unique in the page; goes before every id.

    Returns:
        The element. It holds no address, no script and no id that another element may have.
    """
    buffer = io.StringIO()
    with svg_settings(name), missing_glyphs():
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw(_STAND_INS).savefig(buffer, format="svg", metadata=metadata, transparent=True)
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
    """Loss curves as a figure, each named at its end.

    Args:
        panel: what to draw.
        width: of the figure.
        height: of the figure.
        palette: its colours.

    Returns:
        The figure, tied to no window and no global state.
    """
    longest = max(len(short_name(c.name)) + 1 + len(c.final) for c in in_colour(panel))
    figure, axes, size = _one_pair(width, height, _margin(longest, width), palette)
    draw_axes(axes, panel, palette, *size, end_labels=True)
    return figure


def draw_gap_panel(
    panel: GapPanel, width: float, height: float, palette: Palette = LIGHT
) -> Figure:
    """Gains as a figure; see `draw_panel`."""
    named = [gap for gap in panel.gaps if gap.slot is not None]
    longest = max((len(short_name(gap.name)) + 1 + len(gap.final) for gap in named), default=0)
    figure, axes, size = _one_pair(width, height, _margin(longest, width), palette)
    draw_gaps(axes, panel, palette, size[1])
    return figure


def draw_pareto_panel(
    panel: ParetoPanel, width: float, height: float, palette: Palette = LIGHT
) -> Figure:
    """Losses against what was spent, as a figure; see `draw_panel`."""
    figure, axes, size = _one_pair(width, height, 12.0, palette)
    draw_pareto(axes, panel, palette, *size)
    return figure


def _margin(longest: int, width: float) -> float:
    """Room for names right of the axes."""
    return min(32 + longest * CHARACTER_WIDTH, 0.42 * width)


def _one_pair(
    width: float, height: float, right: float, palette: Palette
) -> tuple[Figure, Axes, tuple[float, float]]:
    """A figure, its axes and their size."""
    inner = width - _LEFT - right, height - _BOTTOM - 26
    figure = new_figure(width / 72, height / 72, palette.paper)
    place = (_LEFT / width, _BOTTOM / height, inner[0] / width, inner[1] / height)
    return figure, figure.add_axes(place), inner


def _draw_row(panels: list[Panel]) -> Figure:
    """Loss curves side by side, under one legend."""
    shown = in_colour(panels[0])
    handles = [
        Line2D([], [], label=f"{short_name(c.name)} {c.final}", **line_style(c.slot, LIGHT))
        for c in shown
    ]
    num_grey = len(panels[0].curves) - len(shown)
    if num_grey:
        handles.append(Line2D([], [], label=f"{num_grey} others", **line_style(None, LIGHT)))
    columns = min(len(handles), 6)
    top = 34 + 18.0 * -(-len(handles) // columns)
    figure, pairs, size = _side_by_side(len(panels), 310.0, 248.0, _BOTTOM, top)
    for panel, axes in zip(panels, pairs, strict=True):
        draw_axes(axes, panel, LIGHT, *size, end_labels=False)
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(
            (_LEFT - 6) / (figure.get_figwidth() * 72),
            1 - 2 / (size[1] + _BOTTOM + top),
        ),
        ncols=columns,
        frameon=False,
        fontsize=TEXT_SIZE,
        labelcolor=LIGHT.ink,
        handlelength=1.8,
        columnspacing=2.0,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_pareto_row(panels: list[ParetoPanel]) -> Figure:
    """Pareto figures side by side, above the names of the numbers in them."""
    numbers = numbered(panels)
    each, columns = 440.0, 5
    rows = -(-len(numbers) // columns)
    foot = 10 + rows * LINE_HEIGHT if rows else 0.0
    figure, pairs, size = _side_by_side(len(panels), each, 320.0, _BOTTOM + foot, 28.0)
    for panel, axes in zip(panels, pairs, strict=True):
        draw_pareto(axes, panel, LIGHT, *size)
    width, height = figure.get_figwidth() * 72, figure.get_figheight() * 72
    for i, (number, name) in enumerate(numbers.items()):
        column, row = divmod(i, rows)
        figure.text(
            (_LEFT + column * (width - _LEFT) / columns) / width,
            (foot - 4 - (row + 0.5) * LINE_HEIGHT) / height,
            f"{number}  {short_name(name)}",
            color=LIGHT.muted,
            fontsize=SMALL_SIZE,
            va="center_baseline",
            parse_math=False,
        )
    return figure


def numbered(panels: Sequence[ParetoPanel]) -> dict[int, str]:
    """The contestants that any of the panels shows by their numbers."""
    found = {p.number: p.name for panel in panels for p in panel.points if not p.named}
    return dict(sorted(found.items()))


def _side_by_side(
    count: int, each: float, plot_height: float, bottom: float, top: float
) -> tuple[Figure, list[Axes], tuple[float, float]]:
    """A figure with several pairs of axes, and the size of each."""
    gap = 46.0
    width, height = _LEFT + count * each + (count - 1) * gap + 14, plot_height + bottom + top
    figure = new_figure(width / 72, height / 72, LIGHT.paper)
    pairs = [
        figure.add_axes(
            (
                (_LEFT + i * (each + gap)) / width,
                bottom / height,
                each / width,
                plot_height / height,
            )
        )
        for i in range(count)
    ]
    return figure, pairs, (each, plot_height)
