"""Kernels, their frequency responses beside Haar's, and how they changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentwave.bench.inspection import Kernels, decibels, magnitude_at
from latentwave.bench.report.axes import LIGHT, SMALL_SIZE, TEXT_SIZE
from latentwave.bench.report.canvas import add_bar
from latentwave.bench.report.inspection.style import (
    LEVELS,
    RANGE_DECIBELS,
    SIGNED,
    finish,
    inspection_figure,
    octave_frequencies,
    octave_ticks,
)

_SHOWN_TAPS = 64
_MOST_ROWS = 12


def distinct(kernels: list[Kernels]) -> list[Kernels]:
    """Without mixers whose kernels an earlier one has too, as fixed wavelets do in every layer."""
    chosen: list[Kernels] = []
    for each in kernels:
        if not any(
            each.taps.shape == other.taps.shape and np.array_equal(each.taps, other.taps)
            for other in chosen
        ):
            chosen.append(each)
    return chosen


def relative_decibels(
    taps: Float[np.ndarray, "N K"], frequencies: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "N F"]:
    """The response of each kernel relative to its own peak, dB."""
    magnitude = magnitude_at(taps, frequencies)
    peak = magnitude.max(axis=1, keepdims=True)
    return decibels(magnitude / np.where(peak > 0, peak, 1.0))


def draw_kernels(kernels: list[Kernels]) -> Figure:
    """Taps, frequency responses and those of Haar, a row of three for each mixer.

    The kernels of a mixer are sorted by centre frequency, the lowest at the bottom.

    Args:
        kernels: at least one mixer's; the first `_MOST_ROWS` that differ are drawn.
    """
    rows = distinct(kernels)
    same = len(rows) < len(kernels)
    rows = rows[:_MOST_ROWS]
    figure = inspection_figure(10.0, 0.9 + 2.05 * len(rows))
    panels: Any = figure.subplots(len(rows), 3, squeeze=False, width_ratios=[0.8, 1, 1])
    image: Any = None
    for i, (each, (taps, learned, haar)) in enumerate(zip(rows, panels, strict=True)):
        last = i == len(rows) - 1
        _draw_taps(taps, each, last=last)
        frequencies = octave_frequencies(each.taps.shape[1])
        for axes, values in ((learned, each.taps), (haar, each.haar)):
            image = _draw_response(axes, values, frequencies)
            axes.set_yticks([])
            finish(axes, xlabel="frequency [cycles per token]" if last else "")
        places = np.arange(len(each.taps)) + 0.5
        learned.plot(each.centre, places, color="white", linewidth=1.4)
        where = f"all {len(kernels)} mixers" if same and len(rows) == 1 else each.label
        number = f"{len(each.taps)} {each.rows} kernel{'s' if len(each.taps) > 1 else ''}"
        for axes, title in (
            (taps, where),
            (learned, number),
            (haar, "Haar, as long"),
        ):
            axes.set_title(title, loc="left", fontsize=TEXT_SIZE, color=LIGHT.ink, parse_math=False)
    add_bar(figure, image, panels, "relative to each kernel’s peak [dB]")
    kinds = ", ".join(dict.fromkeys(each.kind for each in rows))
    figure.suptitle(kinds, x=0.01, ha="left", fontsize=TEXT_SIZE, color=LIGHT.ink, parse_math=False)
    return figure


def _draw_taps(axes: Axes, kernels: Kernels, *, last: bool) -> None:
    shown = kernels.taps[:, :_SHOWN_TAPS]
    peak = np.abs(shown).max(axis=1, keepdims=True)
    shown = shown / np.where(peak > 0, peak, 1.0)
    axes.pcolormesh(
        np.arange(shown.shape[1] + 1) - 0.5,
        np.arange(len(shown) + 1),
        shown,
        cmap=SIGNED,
        norm=TwoSlopeNorm(0.0, -1.0, 1.0),
        rasterized=True,
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    ticks = sorted({0, len(shown) // 2, len(shown) - 1})
    axes.set_yticks([t + 0.5 for t in ticks], [f"{kernels.centre[t]:.3f}" for t in ticks])
    cut = f" (first {_SHOWN_TAPS})" if kernels.taps.shape[1] > _SHOWN_TAPS else ""
    finish(
        axes,
        xlabel=f"lag [tokens]{cut}, scaled to ±1" if last else "",
        ylabel="centre frequency\n[cycles per token]",
    )


def _draw_response(
    axes: Axes, taps: Float[np.ndarray, "N K"], frequencies: Float[np.ndarray, " F"]
) -> Any:
    step = frequencies[1] / frequencies[0]
    edges = np.append(frequencies / np.sqrt(step), frequencies[-1] * np.sqrt(step))
    image = axes.pcolormesh(
        edges,
        np.arange(len(taps) + 1),
        relative_decibels(taps, frequencies),
        cmap=LEVELS,
        norm=Normalize(-RANGE_DECIBELS, 0.0),
        rasterized=True,
    )
    axes.set_xscale("log", base=2)
    axes.set_xlim(frequencies[0], 0.5)
    axes.set_xticks(*octave_ticks(float(frequencies[0])))
    axes.minorticks_off()
    return image


def draw_change(kernels: list[Kernels]) -> Figure | None:
    """How far the kernels of each mixer went, and the centre frequencies of some.

    Args:
        kernels: of all mixers.

    Returns:
        Nothing if no mixer has two snapshots.
    """
    moved = [each for each in kernels if len(each.steps) > 1]
    if not moved:
        return None
    figure = inspection_figure(10.0, 3.7)
    far, centres = figure.subplots(1, 2)
    colours = LIGHT.contestants
    handles = []
    for i, each in enumerate(moved):
        change = each.change()
        colour = colours[i % len(colours)]
        style: dict[str, Any] = {"color": colour, "linewidth": 2}
        style["linestyle"] = ("-", "--", ":")[i // len(colours) % 3]
        far.plot(each.steps, 100 * change.mean(axis=1), **style)
        if len(moved) <= len(colours):
            low, high = np.percentile(100 * change, [25, 75], axis=1)
            far.fill_between(each.steps, low, high, color=colour, alpha=0.13, linewidth=0)
        handles.append(Line2D([], [], label=each.label, **style))
    far.set_ylim(bottom=0)
    far.set_xlim(0, moved[0].steps[-1])
    far.grid(axis="y", color=LIGHT.rule, linewidth=0.8)
    finish(far, "distance from the start [% of its size]", "training step")
    legend = far.legend(
        handles=handles,
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=LIGHT.ink,
        ncols=1 + len(handles) // 7,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    most = max(moved, key=lambda each: float(each.change()[-1].mean()))
    history = most.centre_history()
    for row in range(history.shape[1]):
        centres.plot(most.steps, history[:, row], color=colours[0], linewidth=0.9, alpha=0.65)
    centres.set_ylim(0, 0.5)
    centres.set_xlim(0, most.steps[-1])
    centres.grid(axis="y", color=LIGHT.rule, linewidth=0.8)
    finish(centres, f"centre frequencies [cycles per token], {most.label}", "training step")
    return figure
