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
        "kernels": [chart for each in kernels for chart in kernel_charts(each)],
        "change": _change(inspection.kernels),
        "masks": _masks(inspection),
        "paths": _paths(inspection),
        "positions": _positions(inspection.by_position, names),
        "classes": [_classes(table, names) for table in inspection.by_class],
    }
    titles = {
        "kernels": "Kernels",
        "change": "Change over training",
        "masks": "Over the tokens of a text",
        "paths": "Paths of embeddings",
        "positions": "Loss by position",
        "classes": "Loss by class of token",
    }
    columns = {"kernels": 3, "change": 2, "paths": 2, "positions": 2}
    return {
        name: ChartGrid(name, titles[name], charts, columns=min(columns.get(name, 1), len(charts)))
        for name, charts in found.items()
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
    frequencies = octave_frequencies(taps.shape[1])
    step = math.sqrt(frequencies[1] / frequencies[0])
    places = np.arange(len(taps)) + 0.5
    first, last = float(frequencies[0]), float(frequencies[-1])
    line = Series(kernels.centre.tolist(), places.tolist(), slot=WHITE_SLOT)
    return Chart(
        title,
        x=Axis(
            "frequency [cycles per token]",
            scale="log2",
            window=(first, last),
            ticks=_octave_ticks(first),
        ),
        y=Axis(ticks=_rows(kernels)),
        series=[line] if ridge else [],
        heat_map=HeatMap(
            relative_decibels(taps, frequencies),
            low=-_DECIBELS,
            high=0.0,
            unit=None if ridge else "dB below the peak",
            x=np.append(frequencies / step, last * step),
        ),
        alt=f"Heat map of the frequency responses of {len(taps)} kernels, {kernels.label}, "
        f"{title}; centre frequencies from {kernels.centre[0]:.3g} to {kernels.centre[-1]:.3g} "
        "cycles per token.",
        width=300.0,
        height=200.0,
    )


def relative_decibels(
    taps: Float[np.ndarray, "N K"], frequencies: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "N F"]:
    """The response of each kernel relative to its own peak, dB."""
    magnitude = magnitude_at(taps, frequencies)
    peak = magnitude.max(axis=1, keepdims=True)
    return decibels(magnitude / np.where(peak > 0, peak, 1.0))


def octave_frequencies(num_taps: int) -> Float[np.ndarray, " F"]:
    """Frequencies from one cycle in four kernel lengths to 1/2, evenly in octaves."""
    lowest = -math.ceil(math.log2(4 * max(num_taps, 2)))
    return np.geomspace(2.0**lowest, 0.5, _NUM_FREQUENCIES)


def _octave_ticks(lowest: float) -> dict[float, str]:
    """Places and names of at most six octaves.

    Example:
        >>> _octave_ticks(1 / 16)
        {0.5: '1/2', 0.25: '1/4', 0.125: '1/8', 0.0625: '1/16'}
    """
    count = round(-math.log2(lowest))
    return {2.0**-e: f"1/{2**e}" for e in range(1, count + 1, math.ceil(count / 6))}


def _rows(kernels: Kernels) -> dict[float, str]:
    last = len(kernels.centre) - 1
    return {row + 0.5: f"{kernels.centre[row]:.3f}" for row in sorted({0, last // 2, last})}


def _taps(kernels: Kernels) -> Chart:
    shown = kernels.taps[:, :_MOST_TAPS]
    peak = np.abs(shown).max(axis=1, keepdims=True)
    num_taps = shown.shape[1]
    cut = f", first {_MOST_TAPS}" if kernels.taps.shape[1] > _MOST_TAPS else ""
    lags = range(0, num_taps, max(1, math.ceil(num_taps / 6)))
    return Chart(
        kernels.label,
        x=Axis(f"lag [tokens]{cut}", ticks={float(lag): str(lag) for lag in lags}),
        y=Axis("centre frequency", ticks=_rows(kernels)),
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
    lines = []
    for slot, each in enumerate(moved):
        change = 100 * each.change()
        low, high = np.percentile(change, [25, 75], axis=1)
        few = len(moved) <= 6
        lines.append(
            Series(
                each.steps.tolist(),
                change.mean(axis=1).tolist(),
                low=low.tolist() if few else (),
                high=high.tolist() if few else (),
                name=shorten(each.label, 30),
                slot=slot,
            )
        )
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
            alt="Distance of the kernels from their start against the training step; the table "
            "below has the numbers.",
        ),
        Chart(
            shorten(f"centre frequencies, {most.label}", 48),
            x=steps,
            y=Axis(grid=True, window=(0.0, 0.5)),
            series=[
                Series(most.steps.tolist(), history[:, row].tolist(), thin=True) for row in rows
            ],
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
        low = -high
    else:
        values = 20 * np.log10(np.maximum(values, 1e-9))
        high = float(values.max())
        low = high - _ACTIVITY_DECIBELS
    single = all(len(token) == 1 for token in tokens)
    return Chart(
        f"{kernels.label}: {title}",
        x=Axis(
            "tokens", ticks={float(i): token for i, token in enumerate(tokens)}, upright=not single
        ),
        y=Axis("centre frequency", ticks=_rows(kernels)),
        heat_map=HeatMap(values, low, high, "RdBu_r" if signed else "magma", unit=""),
        alt=f"Heat map: {title} of {len(values)} kernels over {len(tokens)} tokens, "
        f"{kernels.label}.",
        width=float(np.clip(150 + (9 if single else 15) * len(tokens), 520, 1300)),
        height=180.0 if single else 240.0,
    )


def _paths(inspection: Inspection) -> list[Chart]:
    """The embeddings of a text before and after some mixers, in the plane of both."""
    labels = {each.name: each.label for each in inspection.kernels}
    paths = list(inspection.paths.values())
    if not paths:
        return []
    tokens = inspection.tokens[:_MOST_LABELLED]
    charts = []
    chosen = np.linspace(0, len(paths) - 1, min(_MOST_PATHS, len(paths)))
    for index in chosen.astype(int):
        path = paths[index]
        sides = {"input": path.before[: len(tokens)], "output": path.after[: len(tokens)]}
        both = np.concatenate(list(sides.values()))
        low, high = both.min(axis=0), both.max(axis=0)
        margin = 0.07 * np.maximum(high - low, 1e-6)
        windows = list(zip((low - margin).tolist(), (high + margin).tolist(), strict=True))
        label = labels.get(path.name, path.name)
        for side, points in sides.items():
            x, y = points.T.tolist()
            shares = [f"component {i + 1} ({share:.0%})" for i, share in enumerate(path.explained)]
            charts.append(
                Chart(
                    f"{label}: its {side}",
                    x=Axis(shares[0], window=windows[0]),
                    y=Axis(shares[1], window=windows[1], grid=True),
                    series=[
                        Series(x, y, slot=None),
                        Series(x, y, line=False, points=True, labels=tokens),
                    ],
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
    charts = [
        Chart(
            "loss [nats per token]",
            x=axis,
            series=[
                _band(places, [each.losses[i] for each in table.bins], name, _RUN_SLOTS[i])
                for i, name in enumerate(names)
            ],
            alt="Loss against the position in the context; the table below has the numbers.",
        )
    ]
    differences = [each.difference for each in table.bins if each.difference is not None]
    if differences:
        charts.append(
            Chart(
                f"{names[0]} minus {names[1]} [nats per token]",
                x=axis,
                series=[_band(places, differences, "", 0)],
                level=0.0,
                alt="Difference of the losses against the position in the context; the table "
                "below has the numbers.",
            )
        )
    return charts


def _band(places: Sequence[float], means: Sequence[Mean], name: str, slot: int) -> Series:
    values, errors = _values(means)
    return Series(
        places,
        values.tolist(),
        low=(values - errors).tolist(),
        high=(values + errors).tolist(),
        points=True,
        name=name,
        slot=slot,
    )


def _classes(table: LossTable, names: Sequence[str]) -> Chart:
    """Loss of each class of tokens; bars are 2 standard errors."""
    places = np.arange(len(table.bins))[::-1]
    series = []
    for i, name in enumerate(names):
        values, errors = _values([each.losses[i] for each in table.bins])
        shift = 0.13 - 0.26 * i if len(names) == 2 else 0.0
        series.append(
            Series(
                values.tolist(),
                (places + shift).tolist(),
                low=(values - errors).tolist(),
                high=(values + errors).tolist(),
                bars=True,
                sideways=True,
                line=False,
                points=True,
                name=name,
                slot=_RUN_SLOTS[i],
            )
        )
    counted = [shorten(f"{each.name} ({each.losses[0].count:,})", 40) for each in table.bins]
    return Chart(
        table.title,
        x=Axis("loss [nats per token]", window=(0.0, None), grid=True),
        y=Axis(
            ticks=dict(zip(map(float, places), counted, strict=True)),
            window=(-0.6, len(places) - 0.4),
        ),
        series=series,
        alt=f"Loss by {table.title}; the table below has the numbers.",
        height=90.0 + 30 * len(places),
    )


def _values(means: Sequence[Mean]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Means and twice their standard errors, 0 where there is none."""
    values = np.array([mean.value for mean in means])
    return values, np.nan_to_num([2 * mean.error for mean in means])
