"""Charts of sound and of music: waveforms, spectrograms, piano rolls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy import signal

from latentwave.bench.report.charts import Axis, Chart, HeatMap, Series

_WIDTH = 650.0
_COLUMNS = 1600  # about one for each dot of the picture
_WINDOW_SECONDS = 0.032
_RANGE_DECIBELS = 80.0


def sound_charts(
    sounds: Mapping[str, Float[np.ndarray, " _"]], sample_rate: int, prompt_seconds: float = 0.0
) -> list[Chart]:
    """Waveform and spectrogram of each sound, all on the same scales.

    Args:
        sounds: samples in [−1, 1] by name.
        sample_rate: in hertz.
        prompt_seconds: where a line divides what was given from what was generated.
    """
    sounds = {name: np.nan_to_num(x, posinf=0.0, neginf=0.0) for name, x in sounds.items()}
    spectra = {name: _spectrogram(samples, sample_rate) for name, samples in sounds.items()}
    seconds = Axis("seconds", window=(0.0, max(map(len, sounds.values()), default=0) / sample_rate))
    # Silence is black, not stretched to the full range of colours.
    loudest = max([-40.0, *(float(each.values.max()) for each in spectra.values())])
    reach = 1.05 * max([0.05, *(float(np.abs(samples).max()) for samples in sounds.values())])
    charts = []
    for name, samples in sounds.items():
        wave = Chart(
            name,
            x=dataclasses.replace(seconds, label=""),
            y=Axis("amplitude", window=(-reach, reach)),
            series=[_outline(samples, sample_rate)],
            height=90.0,
        )
        heat_map = dataclasses.replace(spectra[name], low=loudest - _RANGE_DECIBELS, high=loudest)
        charts += [wave, Chart(x=seconds, y=Axis("kHz"), heat_map=heat_map, height=170.0)]
    return _beside_a_prompt(charts, prompt_seconds)


def piano_roll_charts(
    pieces: Mapping[str, Float[np.ndarray, "_ 4"]], prompt_seconds: float = 0.0
) -> list[Chart]:
    """Notes over time and pitch, coloured by velocity, all pieces on the same scales.

    Args:
        pieces: onset and end in seconds, pitch and velocity of each note, by name.
        prompt_seconds: where a line divides what was given from what was generated.
    """
    notes = np.concatenate([np.zeros((0, 4)), *pieces.values()])
    longest = float(notes[:, 1].max(initial=1.0))
    lowest, highest = int(notes[:, 2].min(initial=58)) - 2, int(notes[:, 2].max(initial=62)) + 2
    times = np.linspace(0.0, longest, _COLUMNS + 1)
    octaves = range(-(-lowest // 12) * 12, highest + 1, 12)
    charts = []
    for name, piece in pieces.items():
        velocities = np.full((highest - lowest + 1, _COLUMNS), np.nan)
        for onset, end, pitch, velocity in piece:
            first, last = np.searchsorted(times, (onset, end))
            # A column short, so that a note that is struck again is seen twice.
            row, stop = int(pitch) - lowest, max(int(first) + 1, int(last) - 1)
            velocities[row, int(first) : stop] = velocity
        heat_map = HeatMap(
            velocities,
            x=times,
            y=np.arange(lowest, highest + 2) - 0.5,
            low=0.0,
            high=127.0,
            colours="viridis_r",
            unit="velocity",
        )
        ticks = {float(pitch): f"C{pitch // 12 - 1}" for pitch in octaves}
        charts.append(
            Chart(
                f"{name}, {len(piece):,} notes",
                x=Axis("seconds", window=(0.0, longest)),
                y=Axis(ticks=ticks, grid=True),
                heat_map=heat_map,
                height=190.0,
            )
        )
    return _beside_a_prompt(charts, prompt_seconds)


def _beside_a_prompt(charts: list[Chart], prompt_seconds: float) -> list[Chart]:
    border = prompt_seconds if prompt_seconds > 0 else None
    return [dataclasses.replace(chart, border=border, width=_WIDTH) for chart in charts]


def _outline(samples: Float[np.ndarray, " _"], sample_rate: int) -> Series:
    """The samples, or of many the lowest and highest of each column."""
    if len(samples) <= 2 * _COLUMNS:
        return Series(np.arange(len(samples)) / sample_rate, samples)
    edges = np.linspace(0, len(samples), _COLUMNS + 1).astype(int)[:-1]
    ends = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    return Series(np.repeat(edges / sample_rate, 2), np.stack(ends, axis=1).ravel())


def _spectrogram(samples: Float[np.ndarray, " _"], sample_rate: int) -> HeatMap:
    """Levels in decibels below a sine at full scale, over seconds and kHz."""
    longest = 2 ** round(np.log2(sample_rate * _WINDOW_SECONDS))
    window = max(8, min(longest, len(samples) // 4))
    hop = max(1, min(window // 4, len(samples) // _COLUMNS))
    if len(samples) // hop > 4 * _COLUMNS:
        hop = len(samples) // _COLUMNS
    # Half a window of silence at both ends, so that the picture begins and ends with the sound.
    frequencies, times, power = signal.spectrogram(
        np.pad(samples, (window // 2, window - window // 2)),
        fs=sample_rate,
        window="hann",
        nperseg=window,
        noverlap=window - min(hop, window),
        scaling="spectrum",
        detrend=False,
    )
    levels = 10 * np.log10(2 * power + 1e-12)
    return HeatMap(
        levels,
        x=_edges(times - times[0], hop / sample_rate),
        y=_edges(frequencies / 1000, sample_rate / window / 1000),
        low=float(levels.min()),
        high=float(levels.max()),
        unit="dB of full scale",
    )


def _edges(middles: Float[np.ndarray, " n"], step: float) -> Float[np.ndarray, " n_1"]:
    return np.append(middles - step / 2, middles[-1] + step / 2)
