"""Charts of sound and of music: waveforms, spectrograms, piano rolls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from latentwave.bench.report.charts import COLOURS, Chart, colour, colour_bar

_WIDTH = 650.0
_WINDOW_SECONDS = 0.032
_LOUDEST, _FAINTEST = -10.0, -90.0  # decibels of full scale, so that silence is black


def sound_charts(
    sounds: Mapping[str, Float[np.ndarray, " _"]], sample_rate: int, prompt_seconds: float = 0.0
) -> list[Chart]:
    """Waveform and spectrogram of each sound, all on the same scales.

    Samples are in [−1, 1], and no sound is empty; the sample rate is in hertz. At `prompt_seconds`
    a line divides what was given from what was generated.
    """
    sounds = {name: np.nan_to_num(x, posinf=0.0, neginf=0.0) for name, x in sounds.items()}
    seconds = (0.0, max(map(len, sounds.values())) / sample_rate)
    reach = 1.05 * max([0.05, *(float(np.abs(samples).max()) for samples in sounds.values())])

    def wave(axes: Axes, name: str) -> None:
        samples = sounds[name]
        axes.plot(np.arange(len(samples)) / sample_rate, samples, color=colour(0), linewidth=1)
        axes.grid(visible=False)
        axes.set(title=name, ylabel="amplitude", xlim=seconds, ylim=(-reach, reach))
        _mark_prompt(axes, prompt_seconds)

    def spectrum(axes: Axes, name: str) -> None:
        axes.grid(visible=False)
        image = draw_spectrogram(axes, sounds[name], sample_rate)
        axes.set(xlabel="seconds", ylabel="kHz", xlim=seconds)
        colour_bar(axes, image, "dB of full scale")
        _mark_prompt(axes, prompt_seconds)

    charts = []
    for name in sounds:
        charts.append(Chart(partial(wave, name=name), width=_WIDTH, height=90.0))
        charts.append(Chart(partial(spectrum, name=name), width=_WIDTH, height=170.0))
    return charts


def draw_spectrogram(axes: Axes, samples: Float[np.ndarray, " _"], sample_rate: int) -> Any:
    """Draw levels over seconds and kHz; a sine at full scale has 0 dB. Returns the picture."""
    longest = 2 ** round(np.log2(sample_rate * _WINDOW_SECONDS))
    half = max(8, min(longest, len(samples) // 4)) // 2
    # Half a window of silence at both ends, so that the picture begins and ends with the sound.
    padded = np.pad(2.0 * samples, half)
    with np.errstate(divide="ignore"):  # silence
        *_, image = axes.specgram(
            padded,
            NFFT=2 * half,
            Fs=sample_rate / 1000,
            noverlap=half + half // 2,
            mode="magnitude",
            xextent=(0.0, len(samples) / sample_rate),
            cmap="magma",
            vmin=_FAINTEST,
            vmax=_LOUDEST,
        )
    return image


def piano_roll_charts(
    pieces: Mapping[str, Float[np.ndarray, "_ 4"]], prompt_seconds: float = 0.0
) -> list[Chart]:
    """Notes over time and pitch, coloured by velocity, all pieces on the same scales.

    Rows of pieces are onset and end in seconds, pitch and velocity; `prompt_seconds` is as above.
    """
    notes = np.concatenate([np.zeros((0, 4)), *pieces.values()])
    longest = float(notes[:, 1].max(initial=1.0))
    lowest, highest = notes[:, 2].min(initial=58) - 2, notes[:, 2].max(initial=62) + 2
    octaves = np.arange(-(-lowest // 12) * 12, highest + 1, 12)

    def roll(axes: Axes, name: str) -> None:
        onset, end, pitch, velocity = pieces[name].T
        # A little short, so that a note that is struck again is seen twice.
        end = np.maximum(onset, end - 0.002 * longest)
        bars = axes.hlines(pitch, onset, end, linewidth=120 / (highest - lowest), cmap="viridis_r")
        bars.set_array(velocity)
        bars.set_clim(0, 127)
        axes.set(title=f"{name}, {len(onset):,} notes", xlabel="seconds")
        axes.set(xlim=(0.0, longest), ylim=(lowest, highest))
        axes.set_yticks(octaves, [f"C{octave // 12 - 1:.0f}" for octave in octaves])
        colour_bar(axes, bars, "velocity")
        _mark_prompt(axes, prompt_seconds)

    return [Chart(partial(roll, name=name), width=_WIDTH, height=190.0) for name in pieces]


def _mark_prompt(axes: Axes, seconds: float) -> None:
    if seconds > 0:
        axes.axvline(seconds, color=COLOURS["c1"], linewidth=1.2, dashes=(4, 3), zorder=5)
