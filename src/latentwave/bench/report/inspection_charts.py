"""The figures of an inspection: kernels, their change, masks, paths, losses."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from latentwave.bench.inspection import Inspection, Kernels, LossBin, Mean, magnitude_at
from latentwave.bench.inspection.activity import EmbeddingPath, TokenMap
from latentwave.bench.report.charts import (
    BASELINE_SLOT,
    COLOURS,
    DASHED,
    GREY,
    Chart,
    ChartGrid,
    annotate,
    band,
    dots,
    heat_map,
    line,
    log2_axis,
    shorten,
    shorten_all,
    thin_line,
)

MOST_SHOWN = 12  # of mixers and of maps; titles say so
_MOST_PATHS = 4
_MOST_LABELLED = 40
_MOST_TAPS = 64
_MOST_CENTRES = 32
_DECIBELS = 30.0  # below a kernel's peak that are told apart
_ACTIVITY_DECIBELS = 40.0
_NUM_FREQUENCIES = 160
_LONGEST_TITLE = 64  # characters in a line
_RUN_SLOTS = (0, BASELINE_SLOT)  # the run, and the one that it is compared with


def inspection_charts(inspection: Inspection) -> dict[str, ChartGrid]:
    """What there is of `kernels`, `change`, `masks`, `paths` and `positions`."""
    labels = shorten_all(run.name for run in inspection.runs)
    names = [labels[run.name] for run in inspection.runs]
    kernels = distinct(inspection.kernels)
    masks = [
        _map(inspection.tokens, each, shown)
        for each in inspection.kernels
        for shown in inspection.token_maps.get(each.name, ())
    ]
    shown = [chart for each in kernels[:MOST_SHOWN] for chart in kernel_charts(each)]
    found = {
        "kernels": (f"Kernels{_first_of(kernels)}", 3, shown),
        "change": ("Change over training", 2, _change(inspection.kernels)),
        "masks": (f"Over the tokens of a text{_first_of(masks)}", 1, masks[:MOST_SHOWN]),
        "paths": ("Paths of embeddings", 2, _paths(inspection)),
        "positions": ("Loss by position", 2, _positions(inspection.by_position, names)),
    }
    return {
        name: ChartGrid(name, title, charts, columns=min(columns, len(charts)))
        for name, (title, columns, charts) in found.items()
        if charts
    }


def _first_of(found: Sequence[object]) -> str:
    return f", the first {MOST_SHOWN} of {len(found)}" if len(found) > MOST_SHOWN else ""


def distinct(kernels: Sequence[Kernels]) -> list[Kernels]:
    """The mixers without those whose kernels an earlier one has, as fixed wavelets have."""
    chosen: list[Kernels] = []
    for each in kernels:
        if not any(np.array_equal(each.taps, other.taps) for other in chosen):
            chosen.append(each)
    return chosen


def kernel_charts(kernels: Kernels) -> list[Chart]:
    """Taps, frequency response, and the response of Haar; rows by centre frequency."""
    number = f"{len(kernels.taps)} {kernels.rows} kernel{'s' if len(kernels.taps) > 1 else ''}"
    return [
        _taps(kernels),
        response_chart(kernels, kernels.taps, number, ridge=True),
        response_chart(kernels, kernels.haar, "Haar, as long"),
    ]


def response_chart(
    kernels: Kernels, taps: Float[np.ndarray, "N K"], title: str, *, ridge: bool = False
) -> Chart:
    """What kernels pass of each frequency, relative to the peak of each, in decibels.

    Taps are those of the rows of `kernels`, as trained, at an earlier step, or Haar's; the ridge
    is a white line along the centre frequencies.
    """

    def draw(axes: Axes) -> None:
        # From one cycle in four kernel lengths to 1/2, evenly in octaves.
        octaves = math.ceil(math.log2(4 * max(taps.shape[1], 2)))
        frequencies = np.geomspace(2.0**-octaves, 0.5, _NUM_FREQUENCIES)
        step = math.sqrt(frequencies[1] / frequencies[0])
        magnitude = magnitude_at(taps, frequencies)
        peak = magnitude.max(axis=1, keepdims=True)
        levels = 20 * np.log10(np.maximum(magnitude / np.where(peak > 0, peak, 1.0), 1e-4))
        edges = np.append(frequencies / step, 0.5 * step)
        unit = None if ridge else "dB below the peak"
        heat_map(axes, levels, -_DECIBELS, 0.0, "magma", x=edges, unit=unit)
        if ridge:
            white: Any = line(0) | {"color": COLOURS["white"]}
            axes.plot(kernels.centre, np.arange(len(taps)) + 0.5, **white)
        named = range(1, octaves + 1, math.ceil(octaves / 6))
        axes.set(title=title, xlabel="frequency [cycles per token]")
        log2_axis(axes, {2.0**-e: f"1/{2**e}" for e in named}, 2.0**-octaves, 0.5)
        _name_rows(axes, kernels)

    return Chart(
        draw,
        alt=f"Heat map of the frequency responses of {len(taps)} kernels, {kernels.label}, "
        f"{title}; centre frequencies from {kernels.centre[0]:.3g} to {kernels.centre[-1]:.3g} "
        "cycles per token.",
        width=300.0,
        height=200.0,
    )


def _name_rows(axes: Axes, kernels: Kernels, label: str = "") -> None:
    """Kernels by their centre frequency."""
    last = len(kernels.centre) - 1
    axes.set_ylabel(label)
    rows = sorted({0, last // 2, last})
    axes.set_yticks([row + 0.5 for row in rows], [f"{kernels.centre[row]:.3f}" for row in rows])


def _taps(kernels: Kernels) -> Chart:
    shown = kernels.taps[:, :_MOST_TAPS]

    def draw(axes: Axes) -> None:
        peak = np.abs(shown).max(axis=1, keepdims=True)
        heat_map(axes, shown / np.where(peak > 0, peak, 1.0), -1.0, 1.0, "RdBu_r")
        cut = f", first {_MOST_TAPS}" if kernels.taps.shape[1] > _MOST_TAPS else ""
        lags = range(0, shown.shape[1], max(1, math.ceil(shown.shape[1] / 6)))
        what = "lag [tokens]" if kernels.causal else "tap, around each token"
        axes.set(title=kernels.label, xlabel=f"{what}{cut}", xticks=lags)
        _name_rows(axes, kernels, "centre frequency")

    alt = f"Heat map of the taps of {len(shown)} kernels, {kernels.label}, each scaled to ±1."
    return Chart(draw, alt, width=270.0, height=200.0)


def _change(kernels: Sequence[Kernels]) -> list[Chart]:
    """How far kernels went, and the centre frequencies of the mixer that changed most."""
    moved = [each for each in kernels if len(each.steps) > 1]
    if not moved:
        return []
    changes = [100 * each.change() for each in moved]
    most = moved[int(np.argmax([change[-1].mean() for change in changes]))]

    def distances(axes: Axes) -> None:
        for slot, (each, change) in enumerate(zip(moved, changes, strict=True)):
            if len(moved) <= MOST_SHOWN:
                low, high = np.percentile(change, [25, 75], axis=1)
                band(axes, each.steps, low, high, slot)
            label = shorten(each.label, 30)
            axes.plot(each.steps, change.mean(axis=1), **line(slot), label=label)
        axes.set(title="distance from the start [% of its size]", xlabel="training step")
        axes.set(xlim=(0.0, most.steps[-1]), ylim=(0.0, None))

    def centres(axes: Axes) -> None:
        history = most.centre_history()
        rows = np.unique(np.linspace(0, history.shape[1] - 1, _MOST_CENTRES).astype(int))
        axes.plot(most.steps, history[:, rows], **thin_line(0))
        title = shorten(f"centre frequencies, {most.label}", 48)
        axes.set(title=title, xlabel="training step", xlim=(0.0, most.steps[-1]), ylim=(0.0, 0.5))

    return [
        Chart(distances, "Distance of the kernels from their start against the training step."),
        Chart(centres, f"Centre frequencies against the training step, {most.label}."),
    ]


def _map(tokens: Sequence[str], kernels: Kernels, shown: TokenMap) -> Chart:
    single = all(len(token) == 1 for token in tokens)
    title = shown.title if shown.signed else f"{shown.title} [dB]"

    def draw(axes: Axes) -> None:
        if shown.signed:
            # The few largest would make all others pale.
            high = float(np.percentile(np.abs(shown.values), 99.5)) or 1.0
            heat_map(axes, shown.values, -high, high, "RdBu_r", unit="")
        else:
            levels = 20 * np.log10(np.maximum(shown.values, 1e-9))
            high = float(levels.max())
            heat_map(axes, levels, high - _ACTIVITY_DECIBELS, high, "magma", unit="")
        axes.set(title=f"{kernels.label}: {title}", xlabel="tokens")
        axes.set_xticks(range(len(tokens)), tokens, rotation=0 if single else 90)
        if shown.rows == "kernel":
            _name_rows(axes, kernels, "centre frequency")
        else:
            lags = range(len(shown.values))
            axes.set(ylabel="lag [tokens]", yticks=[lag + 0.5 for lag in lags], yticklabels=lags)

    return Chart(
        draw,
        alt=f"Heat map: {title} of {len(shown.values)} {shown.rows}s over {len(tokens)} tokens, "
        f"{kernels.label}.",
        width=float(np.clip(150 + (9 if single else 15) * len(tokens), 520, 1300)),
        height=180.0 if single else 240.0,
    )


def _paths(inspection: Inspection) -> list[Chart]:
    """The embeddings of a text before and after some mixers, in the plane of both."""
    labels = {each.name: each.label for each in inspection.kernels}
    paths = list(inspection.paths.items())
    chosen = np.linspace(0, len(paths) - 1, min(_MOST_PATHS, len(paths))).astype(int)
    return [
        _path(path, side, f"{labels[name]}: its {side}", inspection.tokens)
        for name, path in (paths[index] for index in chosen)
        for side in ("input", "output")
    ]


def _path(path: EmbeddingPath, side: str, title: str, tokens: Sequence[str]) -> Chart:
    tokens = tokens[:_MOST_LABELLED]
    sides = {"input": path.before[: len(tokens)], "output": path.after[: len(tokens)]}

    def draw(axes: Axes) -> None:
        x, y = sides[side].T
        axes.plot(x, y, **GREY)
        dots(axes, x, y, 0)
        annotate(axes, x, y, tokens, 0)
        axes.update_datalim(np.concatenate(list(sides.values())))  # axes hold both
        axes.autoscale_view()
        first, second = path.explained
        axes.set(title=title, xmargin=0.07, ymargin=0.07)
        axes.set(xlabel=f"component 1 ({first:.0%})", ylabel=f"component 2 ({second:.0%})")

    alt = f"{title}; path of the embeddings of {len(tokens)} tokens in two principal components."
    return Chart(draw, alt, height=360.0)


def _positions(bins: Sequence[LossBin], names: Sequence[str]) -> list[Chart]:
    """Loss against position, and the difference of two runs; bands are 2 standard errors."""
    if not bins:
        return []

    def draw_means(axes: Axes, means: Sequence[Mean], slot: int, label: str | None) -> None:
        places = [math.sqrt(each.low * each.high) for each in bins]
        values = np.array([mean.value for mean in means])
        errors = np.nan_to_num([2 * mean.error for mean in means])
        band(axes, places, values - errors, values + errors, slot)
        axes.plot(places, values, **line(slot), label=label)
        dots(axes, places, values, slot)
        last = bins[-1].high
        ticks = {2.0**k: f"{2**k:,}" for k in range(0, last.bit_length(), 2)}
        log2_axis(axes, ticks, 0.9, last)
        axes.set_xlabel("tokens that the prediction is made from")

    def losses(axes: Axes) -> None:
        for i, name in enumerate(names):
            draw_means(axes, [each.losses[i] for each in bins], _RUN_SLOTS[i], name)
        axes.set_title("loss [nats per token]")

    def differences(axes: Axes) -> None:
        draw_means(axes, [each.difference for each in bins if each.difference], 0, None)
        axes.axhline(0.0, **DASHED)
        title = f"{names[0]} minus {names[1]} [nats per token]"
        axes.set_title(textwrap.fill(title, _LONGEST_TITLE, break_on_hyphens=False))

    what = "against the position in the context; the table below has the numbers."
    charts = [Chart(losses, f"Loss {what}"), Chart(differences, f"Difference of losses {what}")]
    return charts[: len(names)]
