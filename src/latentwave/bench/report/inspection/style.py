"""What the figures of an inspection share: the look of the loss curves, axes of frequency."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentwave.bench.report.axes import LIGHT, SMALL_SIZE, TEXT_SIZE
from latentwave.bench.report.canvas import new_figure

LEVELS = "magma"
"""Colours of magnitudes."""
SIGNED = "RdBu_r"
"""Colours of numbers of either sign, white at zero."""
RANGE_DECIBELS = 30.0
_NUM_FREQUENCIES = 256


def inspection_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, whose axes make room for their words."""
    return new_figure(width, height, LIGHT.paper, layout="constrained")


def finish(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Muted axes, a title on the left, nothing above and on the right."""
    axes.tick_params(labelsize=SMALL_SIZE - 1, colors=LIGHT.muted, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color(LIGHT.rule)
    axes.set_xlabel(xlabel, fontsize=SMALL_SIZE, color=LIGHT.muted)
    axes.set_ylabel(ylabel, fontsize=SMALL_SIZE, color=LIGHT.muted)
    if title:
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE, color=LIGHT.ink, parse_math=False)


def octave_frequencies(num_taps: int) -> Float[np.ndarray, " F"]:
    """Frequencies on a logarithmic scale, from one cycle in four kernel lengths to 1/2.

    Args:
        num_taps: of the longest kernel.

    Returns:
        (F,), cycles per token, ascending.
    """
    lowest = -math.ceil(math.log2(4 * max(num_taps, 2)))
    return np.geomspace(2.0**lowest, 0.5, _NUM_FREQUENCIES)


def octave_ticks(lowest: float) -> tuple[list[float], list[str]]:
    """Places and names of at most six octaves.

    Example:
        >>> octave_ticks(1 / 16)
        ([0.0625, 0.125, 0.25, 0.5], ['1/16', '1/8', '1/4', '1/2'])
    """
    count = round(-math.log2(lowest))
    stride = math.ceil(count / 6)
    exponents = sorted(range(1, count + 1, stride), reverse=True)
    return [2.0**-e for e in exponents], [f"1/{2**e}" for e in exponents]
