"""Draws an inspection: kernels, how they changed, masks, paths of embeddings, losses."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from latentwave.bench.inspection import Inspection, Kernels, LossBin, Mean, magnitude_at
from latentwave.bench.inspection.activity import EmbeddingPath, TokenMap
from latentwave.bench.report import charts
from latentwave.bench.report.charts import Chart, ChartGrid

MOST_SHOWN = 12  # mixers or maps; titles say when there are more
_MOST_PATHS = 4
_MOST_LABELLED = 40  # tokens of a path
_MOST_TAPS = 64
_MOST_CENTRES = 32
_DECIBELS = 30.0  # range of colours below a kernel's peak
_ACTIVITY_DECIBELS = 40.0
_NUM_FREQUENCIES = 160
_LONGEST_TITLE = 64  # characters in a line
_RUN_SLOTS = (0, charts.BASELINE_SLOT)  # the run, and the one that it is compared with


def inspection_charts(inspection: Inspection) -> dict[str, ChartGrid]:
    """Grids by the names of their files, `kernels` to `repeats`, except empty ones."""
    labels = charts.shorten_all(run.name for run in inspection.runs)
    names = [labels[run.name] for run in inspection.runs]
    kernels = distinct(inspection.kernels)
    masks = [
        _map(inspection.tokens, each, token_map)
        for each in inspection.kernels
        for token_map in inspection.token_maps.get(each.name, ())
    ]
    shown = [chart for each in kernels[:MOST_SHOWN] for chart in kernel_charts(each)]
    grids = [
        ("kernels", f"Kernels{_first_of(kernels)}", shown, 3),
        ("change", "Change over training", _change(inspection.kernels), 2),
        ("masks", f"Over the tokens of a text{_first_of(masks)}", masks[:MOST_SHOWN], 1),
        ("paths", "Paths of embeddings", _paths(inspection), 2),
        ("positions", "Loss by position", _positions(inspection.by_position, names), 2),
        ("repeats", "Loss by repeats", _repeats(inspection.by_repeat, names), 2),
    ]
    return {
        name: ChartGrid(name, title, drawn, columns=min(columns, len(drawn)))
        for name, title, drawn, columns in grids
        if drawn
    }


def _first_of(found: Sequence[object]) -> str:
    return f", the first {MOST_SHOWN} of {len(found)}" if len(found) > MOST_SHOWN else ""


def distinct(kernels: Sequence[Kernels]) -> list[Kernels]:
    """Drop mixers whose kernels equal an earlier mixer's, as those of fixed wavelets do."""
    chosen: list[Kernels] = []
    for each in kernels:
        if not any(np.array_equal(each.taps, other.taps) for other in chosen):
            chosen.append(each)
    return chosen


def kernel_charts(kernels: Kernels) -> list[Chart]:
    """Taps, frequency response, and Haar's response; rows are sorted by centre frequency."""
    title = f"{len(kernels.taps)} {kernels.rows} kernel{'s' if len(kernels.taps) > 1 else ''}"
    return [
        _taps(kernels),
        response_chart(kernels, kernels.taps, title, ridge=True),
        response_chart(kernels, kernels.haar, "Haar, as long"),
    ]


def response_chart(
    kernels: Kernels, taps: Float[np.ndarray, "N K"], title: str, *, ridge: bool = False
) -> Chart:
    """Magnitude responses in decibels, each relative to its own peak.

    `taps` are those of the rows of `kernels`: as trained, at an earlier step, or Haar's. The ridge
    is a white line along the centre frequencies.
    """

    def draw(axes: Axes) -> None:
        # From one cycle in four kernel lengths to 1/2, evenly spaced in octaves.
        octaves = math.ceil(math.log2(4 * max(taps.shape[1], 2)))
        frequencies = np.geomspace(2.0**-octaves, 0.5, _NUM_FREQUENCIES)
        step = math.sqrt(frequencies[1] / frequencies[0])
        magnitude = magnitude_at(taps, frequencies)
        peak = magnitude.max(axis=1, keepdims=True)
        levels = 20 * np.log10(np.maximum(magnitude / np.where(peak > 0, peak, 1.0), 1e-4))
        edges = np.append(frequencies / step, 0.5 * step)
        unit = None if ridge else "dB below the peak"
        charts.heat_map(axes, levels, -_DECIBELS, 0.0, "magma", x=edges, unit=unit)
        if ridge:
            white: Any = charts.line(0) | {"color": charts.COLOURS["white"]}
            axes.plot(kernels.centre, np.arange(len(taps)) + 0.5, **white)
        named = range(1, octaves + 1, math.ceil(octaves / 6))
        axes.set(title=title, xlabel="frequency [cycles per token]")
        charts.log2_axis(axes, {2.0**-e: f"1/{2**e}" for e in named}, 2.0**-octaves, 0.5)
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
    """Label the first, middle and last row with their centre frequencies."""
    last = len(kernels.centre) - 1
    axes.set_ylabel(label)
    rows = sorted({0, last // 2, last})
    axes.set_yticks([row + 0.5 for row in rows], [f"{kernels.centre[row]:.3f}" for row in rows])


def _taps(kernels: Kernels) -> Chart:
    shown = kernels.taps[:, :_MOST_TAPS]

    def draw(axes: Axes) -> None:
        peak = np.abs(shown).max(axis=1, keepdims=True)
        charts.heat_map(axes, shown / np.where(peak > 0, peak, 1.0), -1.0, 1.0, "RdBu_r")
        cut = f", first {_MOST_TAPS}" if kernels.taps.shape[1] > _MOST_TAPS else ""
        lags = range(0, shown.shape[1], math.ceil(shown.shape[1] / 6))
        quantity = "lag [tokens]" if kernels.causal else "tap, around each token"
        axes.set(title=kernels.label, xlabel=f"{quantity}{cut}", xticks=lags)
        _name_rows(axes, kernels, "centre frequency")

    alt = f"Heat map of the taps of {len(shown)} kernels, {kernels.label}, each scaled to ±1."
    return Chart(draw, alt, width=270.0, height=200.0)


def _change(kernels: Sequence[Kernels]) -> list[Chart]:
    """Distances from the start, and the centre frequencies of the mixer that changed most."""
    recorded = [each for each in kernels if len(each.steps) > 1]
    if not recorded:
        return []
    changes = [100 * each.change() for each in recorded]
    most = recorded[int(np.argmax([change[-1].mean() for change in changes]))]

    def distances(axes: Axes) -> None:
        for slot, (each, change) in enumerate(zip(recorded, changes, strict=True)):
            if len(recorded) <= MOST_SHOWN:
                low, high = np.percentile(change, [25, 75], axis=1)
                charts.band(axes, each.steps, low, high, slot)
            label = charts.shorten(each.label, 30)
            axes.plot(each.steps, change.mean(axis=1), **charts.line(slot), label=label)
        axes.set(title="distance from the start [% of its size]", xlabel="training step")
        axes.set(xlim=(0.0, most.steps[-1]), ylim=(0.0, None))

    def centres(axes: Axes) -> None:
        history = most.centre_history()
        rows = np.unique(np.linspace(0, history.shape[1] - 1, _MOST_CENTRES).astype(int))
        axes.plot(most.steps, history[:, rows], **charts.thin_line(0))
        title = charts.shorten(f"centre frequencies, {most.label}", 48)
        axes.set(title=title, xlabel="training step", xlim=(0.0, most.steps[-1]), ylim=(0.0, 0.5))

    return [
        Chart(distances, "Distance of the kernels from their start against the training step."),
        Chart(centres, f"Centre frequencies against the training step, {most.label}."),
    ]


def _map(tokens: Sequence[str], kernels: Kernels, token_map: TokenMap) -> Chart:
    single_characters = all(len(token) == 1 for token in tokens)
    values = token_map.values
    title = token_map.title if token_map.signed else f"{token_map.title} [dB]"

    def draw(axes: Axes) -> None:
        if token_map.signed:
            # Without the few largest, which would make all others pale.
            high = float(np.percentile(np.abs(values), 99.5)) or 1.0
            charts.heat_map(axes, values, -high, high, "RdBu_r", unit="")
        else:
            levels = 20 * np.log10(np.maximum(values, 1e-9))
            high = float(levels.max())
            charts.heat_map(axes, levels, high - _ACTIVITY_DECIBELS, high, "magma", unit="")
        axes.set(title=f"{kernels.label}: {title}", xlabel="tokens")
        axes.set_xticks(range(len(tokens)), tokens, rotation=0 if single_characters else 90)
        if token_map.rows == "kernel":
            _name_rows(axes, kernels, "centre frequency")
        else:
            lags = range(len(values))
            axes.set(ylabel="lag [tokens]", yticks=[lag + 0.5 for lag in lags], yticklabels=lags)

    return Chart(
        draw,
        alt=f"Heat map: {title} of {len(values)} {token_map.rows}s over {len(tokens)} tokens, "
        f"{kernels.label}.",
        width=float(np.clip(150 + (9 if single_characters else 15) * len(tokens), 520, 1300)),
        height=180.0 if single_characters else 240.0,
    )


def _paths(inspection: Inspection) -> list[Chart]:
    """Embeddings of a text before and after some mixers, in their common principal plane."""
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
        axes.plot(x, y, **charts.GREY)
        charts.dots(axes, x, y, 0)
        charts.annotate(axes, x, y, tokens, 0)
        axes.update_datalim(np.concatenate(list(sides.values())))  # both sides on the same scales
        axes.autoscale_view()
        first, second = path.explained
        axes.set(title=title, xmargin=0.07, ymargin=0.07)
        axes.set(xlabel=f"component 1 ({first:.0%})", ylabel=f"component 2 ({second:.0%})")

    alt = f"{title}; path of the embeddings of {len(tokens)} tokens in two principal components."
    return Chart(draw, alt, height=360.0)


def _positions(bins: Sequence[LossBin], names: Sequence[str]) -> list[Chart]:
    """Against the number of tokens that a prediction reads, on a logarithmic axis."""
    places = [math.sqrt(each.low * each.high) for each in bins]

    def draw_axis(axes: Axes) -> None:
        last = bins[-1].high
        ticks = {2.0**k: f"{2**k:,}" for k in range(0, last.bit_length(), 2)}
        charts.log2_axis(axes, ticks, 0.9, last)
        axes.set_xlabel("tokens that the prediction is made from")

    return _losses(bins, names, places, draw_axis, "the position in the context")


def _repeats(bins: Sequence[LossBin], names: Sequence[str]) -> list[Chart]:
    """Against the length of the repeat that a prediction continues, one place for each bin."""
    places = [float(i) for i in range(len(bins))]

    def draw_axis(axes: Axes) -> None:
        axes.set_xticks(places, [each.tokens for each in bins])
        axes.set_xlabel("tokens that have occurred before in the same order")

    return _losses(bins, names, places, draw_axis, "the length of the repeat")


def _losses(
    bins: Sequence[LossBin],
    names: Sequence[str],
    places: Sequence[float],
    draw_axis: Callable[[Axes], None],
    against: str,
) -> list[Chart]:
    """Losses of bins, and the difference of two runs, with bands of 2 standard errors."""
    if not bins:
        return []

    def draw_means(axes: Axes, means: Sequence[Mean], slot: int, label: str | None) -> None:
        values = np.array([mean.value for mean in means])
        errors = np.nan_to_num([2 * mean.error for mean in means])
        charts.band(axes, places, values - errors, values + errors, slot)
        axes.plot(places, values, **charts.line(slot), label=label)
        charts.dots(axes, places, values, slot)
        draw_axis(axes)

    def losses(axes: Axes) -> None:
        for i, name in enumerate(names):
            draw_means(axes, [each.losses[i] for each in bins], _RUN_SLOTS[i], name)
        axes.set_title("loss [nats per token]")

    def differences(axes: Axes) -> None:
        draw_means(axes, [each.difference for each in bins if each.difference], 0, None)
        axes.axhline(0.0, **charts.DASHED)
        title = f"{names[0]} minus {names[1]} [nats per token]"
        axes.set_title(textwrap.fill(title, _LONGEST_TITLE, break_on_hyphens=False))

    alt = f"against {against}; the table below has the numbers."
    drawn = [Chart(losses, f"Loss {alt}"), Chart(differences, f"Difference of losses {alt}")]
    return drawn[: len(names)]
