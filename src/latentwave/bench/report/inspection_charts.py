"""The figures of an inspection: kernels, their change, masks, paths, losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from latentwave.bench.inspection import Inspection, Kernels, LossTable, Mean, decibels, magnitude_at
from latentwave.bench.report.charts import (
    BASELINE_SLOT,
    WHITE_SLOT,
    Axis,
    Chart,
    ChartGrid,
    HeatMap,
    Series,
    shorten,
)

MOST_MIXERS = 12
_MOST_PATHS = 4
_MOST_TOKENS, _MOST_LABELLED = 128, 40
_MOST_TAPS = 64
_MOST_CENTRES = 32
_DECIBELS = 30.0  # below a kernel's peak that are told apart
_ACTIVITY_DECIBELS = 40.0
_NUM_FREQUENCIES = 160
_RUN_SLOTS = (0, BASELINE_SLOT)  # the run, and the one that it is compared with


def inspection_charts(inspection: Inspection) -> dict[str, ChartGrid]:
    """What there is of `kernels`, `change`, `masks`, `paths`, `positions` and `classes`."""
    names = [shorten(run.name) for run in inspection.runs]
    kernels = distinct(inspection.kernels)[:MOST_MIXERS]
    found = {
        "kernels": ("Kernels", 3, [chart for each in kernels for chart in kernel_charts(each)]),
        "change": ("Change over training", 2, _change(inspection.kernels)),
        "masks": ("Over the tokens of a text", 1, _masks(inspection)),
        "paths": ("Paths of embeddings", 2, _paths(inspection)),
        "positions": ("Loss by position", 2, _positions(inspection.by_position, names)),
        "classes": ("Loss by class of token", 1, [_classes(t, names) for t in inspection.by_class]),
    }
    return {
        name: ChartGrid(name, title, charts, columns=min(columns, len(charts)))
        for name, (title, columns, charts) in found.items()
        if charts
    }


def distinct(kernels: Sequence[Kernels]) -> list[Kernels]:
    """Leave out mixers whose kernels an earlier one has too, as fixed wavelets in every layer."""
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

    Args:
        kernels: whose rows these are.
        taps: (N, K), as trained, at an earlier step, or Haar's.
        title: what they are.
        ridge: draw the centre frequencies as a white line.
    """
    # From one cycle in four kernel lengths to 1/2, evenly in octaves.
    octaves = math.ceil(math.log2(4 * max(taps.shape[1], 2)))
    frequencies = np.geomspace(2.0**-octaves, 0.5, _NUM_FREQUENCIES)
    step = math.sqrt(frequencies[1] / frequencies[0])
    magnitude = magnitude_at(taps, frequencies)
    peak = magnitude.max(axis=1, keepdims=True)
    named = range(1, octaves + 1, math.ceil(octaves / 6))
    return Chart(
        title,
        x=Axis(
            "frequency [cycles per token]",
            scale="log2",
            window=(2.0**-octaves, 0.5),
            ticks={2.0**-e: f"1/{2**e}" for e in named},
        ),
        y=_rows(kernels),
        series=[Series(kernels.centre, np.arange(len(taps)) + 0.5, slot=WHITE_SLOT)] * ridge,
        heat_map=HeatMap(
            decibels(magnitude / np.where(peak > 0, peak, 1.0)),
            low=-_DECIBELS,
            high=0.0,
            unit=None if ridge else "dB below the peak",
            x=np.append(frequencies / step, 0.5 * step),
        ),
        alt=f"Heat map of the frequency responses of {len(taps)} kernels, {kernels.label}, "
        f"{title}; centre frequencies from {kernels.centre[0]:.3g} to {kernels.centre[-1]:.3g} "
        "cycles per token.",
        width=300.0,
        height=200.0,
    )


def _rows(kernels: Kernels, label: str = "") -> Axis:
    """Kernels by their centre frequency."""
    last = len(kernels.centre) - 1
    rows = sorted({0, last // 2, last})
    return Axis(label, ticks={row + 0.5: f"{kernels.centre[row]:.3f}" for row in rows})


def _taps(kernels: Kernels) -> Chart:
    shown = kernels.taps[:, :_MOST_TAPS]
    peak = np.abs(shown).max(axis=1, keepdims=True)
    cut = f", first {_MOST_TAPS}" if kernels.taps.shape[1] > _MOST_TAPS else ""
    lags = range(0, shown.shape[1], max(1, math.ceil(shown.shape[1] / 6)))
    return Chart(
        kernels.label,
        x=Axis(f"lag [tokens]{cut}", ticks={float(lag): str(lag) for lag in lags}),
        y=_rows(kernels, "centre frequency"),
        heat_map=HeatMap(shown / np.where(peak > 0, peak, 1.0), -1.0, 1.0, "RdBu_r"),
        alt=f"Heat map of the taps of {len(shown)} kernels, {kernels.label}, each scaled to ±1.",
        width=270.0,
        height=200.0,
    )


def _change(kernels: Sequence[Kernels]) -> list[Chart]:
    """How far kernels went, and the centre frequencies of the mixer that changed most."""
    moved = [each for each in kernels if len(each.steps) > 1]
    if not moved:
        return []
    lines, ends = [], []
    for slot, each in enumerate(moved):
        change = 100 * each.change()
        mean, name = change.mean(axis=1), shorten(each.label, 30)
        ends.append(f"{each.label} {mean[-1]:.1f} %")
        low, high = np.percentile(change, [25, 75], axis=1) if len(moved) <= 6 else ((), ())
        lines.append(Series(each.steps, mean, low=low, high=high, name=name, slot=slot))
    most = max(moved, key=lambda each: float(each.change()[-1].mean()))
    history = most.centre_history()
    rows = np.unique(np.linspace(0, history.shape[1] - 1, _MOST_CENTRES).astype(int))
    steps = Axis("training step", window=(0.0, float(moved[0].steps[-1])))
    return [
        Chart(
            "distance from the start [% of its size]",
            x=steps,
            y=Axis(grid=True, window=(0.0, None)),
            series=lines,
            alt="Distance of the kernels from their start against the training step; in the end: "
            f"{', '.join(ends)}.",
        ),
        Chart(
            shorten(f"centre frequencies, {most.label}", 48),
            x=steps,
            y=Axis(grid=True, window=(0.0, 0.5)),
            series=[Series(most.steps, history[:, row], thin=True) for row in rows],
            alt=f"Centre frequencies of kernels against the training step, {most.label}.",
        ),
    ]


def _masks(inspection: Inspection) -> list[Chart]:
    """What each kernel does at each token, one chart or two for each mixer."""
    charts: list[Chart] = []
    for kernels in inspection.kernels:
        found = inspection.activity.get(kernels.name)
        if found is None:
            continue
        if found.tf_mask is not None:
            title = "time-frequency mask a(t)"
            charts.append(_map(inspection.tokens, kernels, title, found.tf_mask, signed=True))
        title = "sub-band activity" if found.signed else "size of the outputs [dB]"
        charts.append(_map(inspection.tokens, kernels, title, found.activity, signed=found.signed))
    return charts[:MOST_MIXERS]


def _map(
    tokens: Sequence[str],
    kernels: Kernels,
    title: str,
    values: Float[np.ndarray, "N T"],
    *,
    signed: bool,
) -> Chart:
    tokens, values = tokens[:_MOST_TOKENS], values[:, :_MOST_TOKENS]
    if signed:
        # The few largest would make all others pale.
        high = float(np.percentile(np.abs(values), 99.5)) or 1.0
        low, colours = -high, "RdBu_r"
    else:
        values = 20 * np.log10(np.maximum(values, 1e-9))
        high, colours = float(values.max()), "magma"
        low = high - _ACTIVITY_DECIBELS
    single = all(len(token) == 1 for token in tokens)
    ticks = {float(i): token for i, token in enumerate(tokens)}
    return Chart(
        f"{kernels.label}: {title}",
        x=Axis("tokens", ticks=ticks, upright=not single),
        y=_rows(kernels, "centre frequency"),
        heat_map=HeatMap(values, low, high, colours, unit=""),
        alt=f"Heat map: {title} of {len(values)} kernels over {len(tokens)} tokens, "
        f"{kernels.label}.",
        width=float(np.clip(150 + (9 if single else 15) * len(tokens), 520, 1300)),
        height=180.0 if single else 240.0,
    )


def _paths(inspection: Inspection) -> list[Chart]:
    """The embeddings of a text before and after some mixers, in the plane of both."""
    labels = {each.name: each.label for each in inspection.kernels}
    paths = list(inspection.paths.items())
    tokens = inspection.tokens[:_MOST_LABELLED]
    charts = []
    for index in np.linspace(0, len(paths) - 1, min(_MOST_PATHS, len(paths))).astype(int):
        name, path = paths[index]
        sides = {"input": path.before[: len(tokens)], "output": path.after[: len(tokens)]}
        both = np.concatenate(list(sides.values()))
        low, high = both.min(axis=0), both.max(axis=0)
        margin = 0.07 * np.maximum(high - low, 1e-6)
        x, y = (
            Axis(f"component {i + 1} ({share:.0%})", window=(first, last), grid=i > 0)
            for i, (share, first, last) in enumerate(
                zip(path.explained, low - margin, high + margin, strict=True)
            )
        )
        label = labels[name]
        for side, points in sides.items():
            across, up = points.T
            line = Series(across, up, slot=None)
            dots = Series(across, up, line=False, points=True, labels=tokens)
            charts.append(
                Chart(
                    f"{label}: its {side}",
                    x=x,
                    y=y,
                    series=[line, dots],
                    alt=f"Path of the embeddings of {len(tokens)} tokens, the {side} of the mixer "
                    f"{label}, in two principal components.",
                    height=360.0,
                )
            )
    return charts


def _positions(table: LossTable | None, names: Sequence[str]) -> list[Chart]:
    """Loss against position, and the difference of two runs; bands are 2 standard errors."""
    if table is None:
        return []
    places = [math.sqrt(each.low * each.high) for each in table.bins]
    last = table.bins[-1].high
    axis = Axis(
        table.title,
        scale="log2",
        window=(0.9, float(last)),
        ticks={2.0**k: f"{2**k:,}" for k in range(0, last.bit_length(), 2)},
    )

    def band(means: Sequence[Mean], name: str = "", slot: int = 0) -> Series:
        values, errors = _values(means)
        ends = {"low": values - errors, "high": values + errors}
        return Series(places, values, **ends, points=True, name=name, slot=slot)

    runs = [
        band([each.losses[i] for each in table.bins], name, _RUN_SLOTS[i])
        for i, name in enumerate(names)
    ]
    what = "against the position in the context; the table below has the numbers."
    charts = [Chart("loss [nats per token]", x=axis, series=runs, alt=f"Loss {what}")]
    differences = [each.difference for each in table.bins if each.difference is not None]
    if differences:
        title, alt = f"{names[0]} minus {names[1]} [nats per token]", f"Difference of losses {what}"
        charts.append(Chart(title, x=axis, series=[band(differences)], level=0.0, alt=alt))
    return charts


def _classes(table: LossTable, names: Sequence[str]) -> Chart:
    """Loss of each class of tokens; bars are 2 standard errors."""
    places = np.arange(len(table.bins))[::-1]
    series = []
    for i, name in enumerate(names):
        values, errors = _values([each.losses[i] for each in table.bins])
        series.append(
            Series(
                values,
                places + (0.13 - 0.26 * i if len(names) == 2 else 0.0),
                low=values - errors,
                high=values + errors,
                bars=True,
                sideways=True,
                line=False,
                points=True,
                name=name,
                slot=_RUN_SLOTS[i],
            )
        )
    counted = [shorten(f"{each.name} ({each.losses[0].count:,})", 40) for each in table.bins]
    ticks = dict(zip(map(float, places), counted, strict=True))
    return Chart(
        table.title,
        x=Axis("loss [nats per token]", window=(0.0, None), grid=True),
        y=Axis(ticks=ticks, window=(-0.6, len(places) - 0.4)),
        series=series,
        alt=f"Loss by {table.title}; the table below has the numbers.",
        height=90.0 + 30 * len(places),
    )


def _values(means: Sequence[Mean]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Means and twice their standard errors, 0 where there is none."""
    values = np.array([mean.value for mean in means])
    return values, np.nan_to_num([2 * mean.error for mean in means])
