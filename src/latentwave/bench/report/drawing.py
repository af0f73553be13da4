"""Loss curves inside one pair of axes: lines, crossings, labels."""

from __future__ import annotations

from matplotlib.axes import Axes

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
from latentwave.bench.report.curves import Curve, Panel, loss_window
from latentwave.bench.report.labels import stack_rows

LOSS_TITLE = "validation loss [nats per {}]"
_MOST_LABELS = 6  # of crossings; the table has them all


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
    # What is not told apart may reach out of the frame.
    extent = max(curve.x[-1] for curve in in_colour(panel))
    crossed = sorted(
        (c.crossing, i)
        for i, c in enumerate(panel.curves)
        if c.crossing is not None and c.slot is not None
    )
    labelled = [(x, panel.curves[i]) for x, i in crossed[:_MOST_LABELS]]
    rows = stack_rows(
        [x / extent * width for x, _ in labelled],
        [text_width(_crossing_label(curve)) + 12 for _, curve in labelled],
    )
    # The labels of the crossings get a strip of their own below the lowest loss.
    strip = (max(rows) + 1) * LINE_HEIGHT + 8 if rows else 8.0
    per_point = (high - low) / (height - strip - 6)
    bottom, top = low - strip * per_point, high + 6 * per_point
    axes.set_xlim(0, extent)
    axes.set_ylim(bottom, top)
    style_axes(axes, panel.label, LOSS_TITLE.format(panel.loss_unit), palette, (low, top))
    for curve in reversed(panel.curves):
        stroke = line_style(curve.slot, palette)
        if curve.slot is None:
            axes.plot(curve.x, curve.loss, **stroke, zorder=1.8)
            continue
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
        on_right = before + text_width(_crossing_label(curve)) + 6 <= width or before <= width / 2
        _label_crossing(axes, (x, panel.target or 0.0, foot), curve, palette, on_right=on_right)
    if end_labels:
        ends = [
            LineEnd(f"{short_name(c.name)} {c.final}", c.slot, c.x[-1], c.loss[-1])
            for c in in_colour(panel)
        ]
        label_ends(axes, ends, palette, (bottom, top), height)


def _mark_crossing(axes: Axes, x: float, target: float, curve: Curve, palette: Palette) -> None:
    axes.plot(
        [x],
        [target],
        marker="o",
        markersize=6.5,
        color=line_style(curve.slot, palette)["color"],
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
    colour = line_style(curve.slot, palette)["color"]
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


def _crossing_label(curve: Curve) -> str:
    return f"{short_name(curve.name)} {curve.speedup}"


def in_colour(panel: Panel) -> list[Curve]:
    """The curves that are told apart; the others are grey."""
    return [curve for curve in panel.curves if curve.slot is not None]
