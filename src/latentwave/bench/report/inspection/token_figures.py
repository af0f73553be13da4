"""Masks and sub-bands over the tokens of a text, and the path of its embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from latentwave.bench.inspection import EmbeddingPath, Inspection, Kernels
from latentwave.bench.report.axes import LIGHT, SMALL_SIZE
from latentwave.bench.report.canvas import add_bar
from latentwave.bench.report.inspection.style import (
    LEVELS,
    SIGNED,
    finish,
    inspection_figure,
)

MASK_TITLE = "time-frequency mask a(t)"
ACTIVITY_TITLES = {True: "sub-band activity", False: "size of the outputs [dB]"}
ACTIVITY_RANGE = 40.0
"""Decibels below the loudest that are told apart."""
_MOST_ROWS = 12
_DRAWN_TOKENS = 128
_LABELLED_TOKENS = 40


def draw_activity(inspection: Inspection) -> Figure | None:
    """What each kernel does at each token, a panel or two for each mixer.

    Rows are kernels by centre frequency, the lowest at the bottom; columns are tokens.

    Returns:
        Nothing without mixers or text.
    """
    pictures: list[tuple[Kernels, str, Float[np.ndarray, "N T"], bool]] = []
    for kernels in inspection.kernels:
        found = inspection.activity.get(kernels.name)
        if found is not None:
            if found.tf_mask is not None:
                pictures.append((kernels, MASK_TITLE, found.tf_mask, True))
            pictures.append((kernels, ACTIVITY_TITLES[found.signed], found.activity, found.signed))
    if not pictures:
        return None
    pictures = pictures[:_MOST_ROWS]
    tokens = inspection.tokens[:_DRAWN_TOKENS]
    width = float(np.clip(2.2 + 0.105 * len(tokens), 7.0, 15.5))
    figure = inspection_figure(width, 0.7 + 1.95 * len(pictures))
    panels: Any = figure.subplots(len(pictures), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (kernels, what, values, signed) in zip(panels, pictures, strict=True):
        _draw_map(figure, axes, kernels, values[:, : len(tokens)], signed)
        finish(axes, f"{kernels.label}: {what}", ylabel="centre frequency\n[cycles per token]")
    _name_tokens(panels[-1], tokens)
    panels[-1].set_xlabel("tokens", fontsize=SMALL_SIZE, color=LIGHT.muted)
    return figure


def _draw_map(
    figure: Figure,
    axes: Axes,
    kernels: Kernels,
    values: Float[np.ndarray, "N T"],
    signed: bool,
) -> None:
    if signed:
        reach = float(np.percentile(np.abs(values), 99.5)) or 1.0
        norm = Normalize(-reach, reach)
    else:
        values = 20 * np.log10(np.maximum(values, 1e-9))
        norm = Normalize(float(values.max()) - ACTIVITY_RANGE, float(values.max()))
    image = axes.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        np.arange(len(values) + 1),
        values,
        cmap=SIGNED if signed else LEVELS,
        norm=norm,
        rasterized=True,
    )
    ticks = sorted({0, len(values) // 2, len(values) - 1})
    axes.set_yticks([t + 0.5 for t in ticks], [f"{kernels.centre[t]:.3f}" for t in ticks])
    add_bar(figure, image, axes, "")


def _name_tokens(axes: Axes, tokens: list[str]) -> None:
    single = all(len(token) == 1 for token in tokens)
    axes.set_xticks(np.arange(len(tokens)), tokens)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
        label.set_rotation(0 if single else 90)
        label.set_fontsize(7.5 if len(tokens) > 64 else 9)
        label.set_color(LIGHT.ink)


def draw_paths(inspection: Inspection) -> Figure | None:
    """The embeddings of a text before and after each mixer, in the plane of both.

    Returns:
        Nothing without mixers or text.
    """
    labels = {each.name: each.label for each in inspection.kernels}
    paths = list(inspection.paths.values())
    if not paths:
        return None
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(4, len(paths))).astype(int))
    figure = inspection_figure(10.0, 4.3 * len(chosen) + 0.4)
    panels: Any = figure.subplots(len(chosen), 2, squeeze=False)
    for row, index in zip(panels, chosen, strict=True):
        path = paths[index]
        limits = _limits(path)
        for axes, points, where in zip(
            row, (path.before, path.after), ("its input", "its output"), strict=True
        ):
            _draw_path(axes, points, inspection.tokens)
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            label = labels.get(path.name, path.name)
            shares = [f"{100 * share:.0f} % of variance" for share in path.explained]
            finish(
                axes,
                f"mixer {label}: {where}",
                f"principal component 1 ({shares[0]})",
                f"principal component 2 ({shares[1]})" if where == "its input" else "",
            )
    return figure


def _limits(path: EmbeddingPath) -> list[tuple[float, float]]:
    """The same for before and after, of the tokens that are drawn."""
    both = np.concatenate([path.before[:_LABELLED_TOKENS], path.after[:_LABELLED_TOKENS]])
    low, high = both.min(axis=0), both.max(axis=0)
    margin = 0.06 * np.maximum(high - low, 1e-6)
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


def _draw_path(axes: Axes, points: Float[np.ndarray, "T 2"], tokens: list[str]) -> None:
    points, tokens = points[:_LABELLED_TOKENS], tokens[:_LABELLED_TOKENS]
    axes.plot(*points.T, color=LIGHT.rule, linewidth=1.0, zorder=1)
    axes.scatter(
        points[:, 0],
        points[:, 1],
        c=np.arange(len(points)),
        cmap="viridis",
        s=12,
        zorder=2,
        linewidths=0,
    )
    axes.grid(color=LIGHT.rule, linewidth=0.5, alpha=0.6)
    for (x, y), token in zip(points, tokens, strict=True):
        axes.annotate(
            token,
            (x, y),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=9,
            color=LIGHT.ink,
            parse_math=False,
            zorder=3,
        )
