"""What all figures share: sizes, colours, axes, and names at the ends of lines.

Lengths are in points, 72 to the inch: the units of an SVG's view box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from latentwave.bench.report.formats import LONGEST_NAME
from latentwave.bench.report.labels import spread

TEXT_SIZE, SMALL_SIZE = 12.0, 11.0
CHARACTER_WIDTH = 6.4  # mean width of one at size TEXT_SIZE, generous
LINE_HEIGHT = 15.0  # height of a line of text
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


@dataclass(frozen=True)
class LineEnd:
    """Where a line ends, and what it is called there.

    Attributes:
        text: name and value.
        slot: its colour, see `line_style`.
        x: of its last point.
        y: of its last point.
    """

    text: str
    slot: int | None
    x: float
    y: float


def style_axes(
    axes: Axes, label: str, title: str, palette: Palette, shown: tuple[float, float]
) -> None:
    """Grid, ticks and words; ticks of the y axis only where values are shown."""
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
    axes.set_xlabel(label, color=palette.muted, fontsize=TEXT_SIZE, labelpad=6, loc="left")
    axes.set_title(
        title,
        color=palette.muted,
        fontsize=TEXT_SIZE,
        loc="left",
        pad=9,
    )


def label_ends(
    axes: Axes,
    lines: Sequence[LineEnd],
    palette: Palette,
    limits: tuple[float, float],
    height: float,
) -> None:
    """Name each line to the right of the axes, joined to its end by a thin line."""
    bottom, top = limits
    ends = [min(max((e.y - bottom) / (top - bottom) * height, 0.0), height) for e in lines]
    places = spread(ends, LINE_HEIGHT, LINE_HEIGHT / 2, height)
    for line, end, place in zip(lines, ends, places, strict=True):
        stroke = line_style(line.slot, palette)
        thin = {"color": stroke["color"], "linewidth": 0.8, "alpha": 0.7, "clip_on": False}
        share = line.x / axes.get_xlim()[1]
        if share < 0.995 and line.slot != -1:
            axes.plot(
                [share, 1],
                [end / height] * 2,
                transform=axes.transAxes,
                **(thin | {"linestyle": (0, (1, 2))}),
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
            line.text,
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
            [line.x],
            [line.y],
            marker="o",
            markersize=5,
            color=stroke["color"],
            clip_on=False,
            zorder=4,
        )


def line_style(slot: int | None, palette: Palette) -> dict[str, Any]:
    """Colour, width and dashes of a contestant, the same in every figure.

    Args:
        slot: −1 for the baseline, None for one that is not told from others.
        palette: the colours.
    """
    if slot is None:
        return {"color": palette.muted, "linewidth": 1.0, "linestyle": "solid", "alpha": 0.4}
    colours = palette.contestants
    colour = palette.ink if slot < 0 else colours[slot % len(colours)]
    dash = _DASHES[max(slot, 0) // len(colours) % len(_DASHES)]
    return {"color": colour, "linewidth": 2.0, "linestyle": dash}


def short_name(name: str) -> str:
    """A contestant's name on one line, cut where it would need half of the figure."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def text_width(text: str) -> float:
    """About the width of a text at SMALL_SIZE."""
    return len(text) * CHARACTER_WIDTH * SMALL_SIZE / TEXT_SIZE
