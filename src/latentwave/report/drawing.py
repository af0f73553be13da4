"""Loss curves inside one pair of axes: lines, crossings, labels, colours.

Lengths are in points, 72 to the inch: the units of an SVG's view box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from latentwave.report.curves import Curve, Panel, loss_window, spread, stack_rows
from latentwave.report.results import BASELINE

TEXT_SIZE, SMALL_SIZE = 12.0, 11.0
CHARACTER_WIDTH = 6.4  # mean width of one at size TEXT_SIZE, generous
LINE_HEIGHT = 15.0  # height of a line of text
_LONGEST_NAME = 20
_MOST_LABELS = 6  # of crossings; the table has them all
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)))


@dataclass(frozen=True)
class Palette:
    """Colours by their role.

    Attributes:
        ink: text and the baseline.
        muted: axis labels.
        rule: grid and axes.
        paper: the ground.
        contestants: taken in turn; past the last, line styles change.
    """

    ink: str
    muted: str
    rule: str
    paper: str
    contestants: tuple[str, ...]


# Okabe and Ito's colours, told apart by every kind of colour vision; their yellow is too pale
# for lines on white, their black is the ink.
LIGHT = Palette(
    ink="#16191d",
    muted="#59616b",
    rule="#dfe3e8",
    paper="#ffffff",
    contestants=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
)


def draw_axes(
    axes: Axes, panel: Panel, palette: Palette, width: float, height: float, *, end_labels: bool
) -> None:
    """Draw a panel into axes of a known size.

    Args:
        axes: where.
        panel: what.
        palette: its colours.
        width: of the axes.
        height: of the axes.
        end_labels: name each curve at its end, in the margin right of the axes.
    """
    low, high, _ = loss_window(panel)
    extent = max(curve.x[-1] for curve in panel.curves)
    crossed = sorted((c.crossing, i) for i, c in enumerate(panel.curves) if c.crossing is not None)
    labelled = [(x, panel.curves[i]) for x, i in crossed[:_MOST_LABELS]]
    rows = stack_rows(
        [x / extent * width for x, _ in labelled],
        [_width(_crossing_label(curve)) + 12 for _, curve in labelled],
    )
    # The labels of the crossings get a strip of their own below the lowest loss.
    strip = (max(rows) + 1) * LINE_HEIGHT + 8 if rows else 8.0
    per_point = (high - low) / (height - strip - 6)
    bottom, top = low - strip * per_point, high + 6 * per_point
    axes.set_xlim(0, extent)
    axes.set_ylim(bottom, top)
    _style(axes, panel, palette, (low, top))
    for curve in reversed(panel.curves):
        stroke = line_style(curve, palette)
        for seed in curve.seeds:
            axes.plot(curve.x, seed, **(stroke | {"linewidth": 0.8, "alpha": 0.45}), zorder=2)
        axes.plot(curve.x, curve.loss, **stroke, zorder=3, solid_capstyle="round")
    if panel.target is not None:
        axes.axhline(panel.target, color=palette.ink, linewidth=0.9, dashes=(4, 3), zorder=1.5)
        for x, i in crossed:
            _mark_crossing(axes, x, panel.target, panel.curves[i], palette)
    for (x, curve), row in zip(labelled, rows, strict=True):
        foot = bottom + (4 + (row + 0.5) * LINE_HEIGHT) * per_point
        before = x / extent * width
        # A label that fits on neither side stands where more room is.
        on_right = before + _width(_crossing_label(curve)) + 6 <= width or before <= width / 2
        _label_crossing(axes, (x, panel.target or 0.0, foot), curve, palette, on_right=on_right)
    if end_labels:
        _label_ends(axes, panel, palette, (bottom, top), height)


def _style(axes: Axes, panel: Panel, palette: Palette, shown: tuple[float, float]) -> None:
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.muted)
        spine.set_linewidth(0.8)
    axes.grid(axis="y", color=palette.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=palette.muted, labelsize=SMALL_SIZE, pad=5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    # Ticks outside the limits would widen them; those in the labels' strip mean nothing.
    axes.set_yticks([tick for tick in axes.get_yticks() if shown[0] <= tick <= shown[1]])
    axes.set_xlabel(panel.label, color=palette.muted, fontsize=TEXT_SIZE, labelpad=6, loc="left")
    axes.set_title(
        f"validation loss [nats per {panel.loss_unit}]",
        color=palette.muted,
        fontsize=TEXT_SIZE,
        loc="left",
        pad=9,
    )


def _mark_crossing(axes: Axes, x: float, target: float, curve: Curve, palette: Palette) -> None:
    axes.plot(
        [x],
        [target],
        marker="o",
        markersize=6.5,
        color=line_style(curve, palette)["color"],
        markeredgecolor=palette.paper,
        markeredgewidth=1.2,
        zorder=5,
    )


def _label_crossing(
    axes: Axes,
    place: tuple[float, float, float],
    curve: Curve,
    palette: Palette,
    *,
    on_right: bool,
) -> None:
    """Hang a label from a crossing: `place` is its x, its loss and the label's height."""
    x, target, foot = place
    colour = line_style(curve, palette)["color"]
    axes.plot([x, x], [target, foot], color=colour, linewidth=0.9, alpha=0.8, zorder=2.5)
    axes.annotate(
        _crossing_label(curve),
        (x, foot),
        xytext=(5 if on_right else -5, 0),
        textcoords="offset points",
        ha="left" if on_right else "right",
        va="center_baseline",
        color=palette.ink,
        fontsize=SMALL_SIZE,
        parse_math=False,
        zorder=6,
    )


def _label_ends(
    axes: Axes, panel: Panel, palette: Palette, limits: tuple[float, float], height: float
) -> None:
    """Name each curve to the right of the axes, joined to its end by a thin line."""
    bottom, top = limits
    ends = [(curve.loss[-1] - bottom) / (top - bottom) * height for curve in panel.curves]
    ends = [min(max(end, 0.0), height) for end in ends]
    places = spread(ends, LINE_HEIGHT, LINE_HEIGHT / 2, height)
    for curve, end, place in zip(panel.curves, ends, places, strict=True):
        stroke = line_style(curve, palette)
        line = {"color": stroke["color"], "linewidth": 0.8, "alpha": 0.7, "clip_on": False}
        share = curve.x[-1] / axes.get_xlim()[1]
        if share < 0.995 and curve.name != BASELINE:
            axes.plot(
                [share, 1],
                [end / height] * 2,
                transform=axes.transAxes,
                **(line | {"linestyle": (0, (1, 2))}),
            )
        axes.annotate(
            "",
            (1, end / height),
            xycoords="axes fraction",
            xytext=(14, place - end),
            textcoords="offset points",
            arrowprops={
                "arrowstyle": "-",
                "color": stroke["color"],
                "linewidth": 0.9,
                "shrinkA": 0,
                "shrinkB": 2,
            },
            annotation_clip=False,
        )
        axes.annotate(
            f"{short_name(curve.name)} {curve.final}",
            (1, end / height),
            xycoords="axes fraction",
            xytext=(18, place - end),
            textcoords="offset points",
            va="center_baseline",
            color=palette.ink,
            fontsize=TEXT_SIZE,
            annotation_clip=False,
            parse_math=False,
        )
        axes.plot(
            [curve.x[-1]],
            [curve.loss[-1]],
            marker="o",
            markersize=5,
            color=stroke["color"],
            clip_on=False,
            zorder=4,
        )


def line_style(curve: Curve, palette: Palette) -> dict[str, Any]:
    """Colour, width and dashes of a contestant, the same in every figure."""
    colours = palette.contestants
    colour = palette.ink if curve.slot < 0 else colours[curve.slot % len(colours)]
    dash = _DASHES[max(curve.slot, 0) // len(colours) % len(_DASHES)]
    return {"color": colour, "linewidth": 2.0, "linestyle": dash}


def _crossing_label(curve: Curve) -> str:
    return f"{short_name(curve.name)} {curve.speedup}"


def short_name(name: str) -> str:
    """A contestant's name on one line, cut where it would need half of the figure."""
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _width(text: str) -> float:
    return len(text) * CHARACTER_WIDTH * SMALL_SIZE / TEXT_SIZE
