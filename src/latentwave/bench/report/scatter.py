"""Pareto figures and gaps inside one pair of axes.

Lengths are in points, 72 to the inch: the units of an SVG's view box.
"""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from latentwave.bench.report.axes import (
    LINE_HEIGHT,
    SMALL_SIZE,
    LineEnd,
    Palette,
    label_ends,
    line_style,
    short_name,
    style_axes,
    text_width,
)
from latentwave.bench.report.canvas import missing_glyphs
from latentwave.bench.report.drawing import LOSS_TITLE
from latentwave.bench.report.gaps import GapPanel, gap_window
from latentwave.bench.report.labels import Box, place_labels
from latentwave.bench.report.pareto import ParetoPanel, Spent

_MARK = 7.0  # diameter
_NEAREST = 0.15  # of the most that was spent: the shortest axis
_FEW_TIMES = 2.5  # how many times the least the most may be on a linear axis


def draw_gaps(axes: Axes, panel: GapPanel, palette: Palette, height: float) -> None:
    """Draw gains over tokens: the mean over seeds, and a band from the lowest to the highest.

    Each line is named at its end, in the margin right of the axes.

    Args:
        axes: where.
        panel: what.
        palette: its colours.
        height: of the axes.
    """
    low, high = gap_window(panel)
    axes.set_xlim(0, max(gap.x[-1] for gap in panel.gaps))
    axes.set_ylim(low, high)
    title = f"gain over the baseline [nats per {panel.loss_unit}]"
    style_axes(axes, panel.label, title, palette, (low, high))
    axes.axhline(0, color=palette.ink, linewidth=0.9, dashes=(4, 3), zorder=1.5)
    for gap in reversed(panel.gaps):
        stroke = line_style(gap.slot, palette)
        if gap.slot is None:
            axes.plot(gap.x, gap.mean, **stroke, zorder=1.8)
            continue
        colour = stroke["color"]
        axes.fill_between(gap.x, gap.low, gap.high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        axes.plot(gap.x, gap.mean, **stroke, zorder=3, solid_capstyle="round")
    ends = [
        LineEnd(f"{short_name(gap.name)} {gap.final}", gap.slot, gap.x[-1], gap.mean[-1])
        for gap in panel.gaps
        if gap.slot is not None
    ]
    label_ends(axes, ends, palette, (low, high), height)


def draw_pareto(
    axes: Axes, panel: ParetoPanel, palette: Palette, width: float, height: float
) -> None:
    """Draw final losses with their intervals, and the front below which none lies.

    Args:
        axes: where.
        panel: what.
        palette: its colours.
        width: of the axes.
        height: of the axes.
    """
    points = panel.points
    least, most = min(p.x for p in points), max(p.x for p in points)
    ends = [v for p in points for v in (p.loss, p.low, p.high) if v is not None]
    span = max(ends) - min(ends) or 0.1
    low, high = min(ends) - 0.1 * span, max(ends) + 0.1 * span
    logarithmic = most > _FEW_TIMES * least
    if logarithmic:
        axes.set_xscale("log")
        left, right = least * (least / most) ** 0.1, most * (most / least) ** 0.1
    else:
        # Never so near that a difference of next to nothing looks large.
        margin = max(0.1 * (most - least), (_NEAREST * most - (most - least)) / 2)
        left, right = least - margin, most + margin
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    title = "final " + LOSS_TITLE.format(panel.loss_unit)
    style_axes(axes, panel.label, title, palette, (low, high))
    if logarithmic:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.set_xlim(left, right)
    steps = _steps(panel, (right, high))
    axes.plot(
        *zip(*steps, strict=True), color=palette.muted, linewidth=1.2, dashes=(4, 3), zorder=1.6
    )
    for point in points:
        _draw_point(axes, point, palette)
    with missing_glyphs():  # whoever saves the figure says so
        axes.figure.canvas.draw()  # places in points need a laid-out figure
    corner = axes.transAxes.transform((0, 0))
    scale = width / (axes.transAxes.transform((1, 0))[0] - corner[0])

    def place(x: float, y: float) -> tuple[float, float]:
        at_x, at_y = axes.transData.transform((x, y))
        return float((at_x - corner[0]) * scale), float((at_y - corner[1]) * scale)

    marks = [place(p.x, p.loss) for p in points]
    half = _MARK / 2
    taken: list[Box] = [(x - half, y - half, x + half, y + half) for x, y in marks]
    bars = [
        (place(p.x, p.low), place(p.x, p.high))
        for p in points
        if p.low is not None and p.high is not None
    ]
    front = [place(x, y) for x, y in steps]
    lines = [*bars, *itertools.pairwise(front)]
    taken += [
        (min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
        for a, b in lines
    ]
    _label_points(axes, panel, palette, marks=marks, taken=taken, size=(width, height))


def _steps(panel: ParetoPanel, corner: tuple[float, float]) -> list[tuple[float, float]]:
    """The front: between two of its points nothing better was found than the cheaper one."""
    front = panel.front
    steps = [(front[0].x, corner[1]), (front[0].x, front[0].loss)]
    for point in front[1:]:
        steps += [(point.x, steps[-1][1]), (point.x, point.loss)]
    return [*steps, (corner[0], steps[-1][1])]


def _draw_point(axes: Axes, point: Spent, palette: Palette) -> None:
    stroke = line_style(point.slot, palette)
    colour, grey = stroke["color"], point.slot is None
    if point.low is not None and point.high is not None:
        axes.plot(
            [point.x] * 2,
            [point.low, point.high],
            color=colour,
            linewidth=1.0 if grey else 1.6,
            alpha=0.4 if grey else 0.8,
            zorder=2,
        )
    axes.plot(
        [point.x],
        [point.loss],
        marker="o",
        markersize=_MARK - 2 if grey else _MARK,
        color=colour,
        markeredgecolor=palette.paper,
        markeredgewidth=0.8,
        zorder=3 if grey else 4,
    )


def _label_points(
    axes: Axes,
    panel: ParetoPanel,
    palette: Palette,
    *,
    marks: list[tuple[float, float]],
    taken: list[Box],
    size: tuple[float, float],
) -> None:
    """Names first, then numbers, where they cover nothing; far ones get a thin line."""
    order = sorted(range(len(marks)), key=lambda i: not panel.points[i].named)
    texts = [short_name(p.name) if p.named else str(p.number) for p in panel.points]
    places = place_labels(
        [marks[i] for i in order],
        [(text_width(texts[i]) + 2, LINE_HEIGHT - 2) for i in order],
        taken,
        (0.0, 0.0, *size),
    )
    for i, (x, y) in zip(order, places, strict=True):
        point, (mark_x, mark_y) = panel.points[i], marks[i]
        reach = text_width(texts[i]) / 2
        near_x = min(max(mark_x, x - reach), x + reach)
        near_y = min(max(mark_y, y - LINE_HEIGHT / 2), y + LINE_HEIGHT / 2)
        far = abs(near_x - mark_x) + abs(near_y - mark_y) > 11
        axes.annotate(
            texts[i],
            (point.x, point.loss),
            xytext=(x - mark_x, y - mark_y),
            textcoords="offset points",
            ha="center",
            va="center",
            color=palette.ink if point.named else palette.muted,
            fontsize=SMALL_SIZE,
            parse_math=False,
            annotation_clip=False,
            zorder=6,
        )
        if far:
            axes.annotate(
                "",
                (point.x, point.loss),
                xytext=(near_x - mark_x, near_y - mark_y),
                textcoords="offset points",
                arrowprops={
                    "arrowstyle": "-",
                    "color": palette.muted,
                    "linewidth": 0.7,
                    "alpha": 0.7,
                    "shrinkA": 0,
                    "shrinkB": 3,
                },
                zorder=2.5,
            )
