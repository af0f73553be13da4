"""Draws sound and music: waveforms, spectrograms, piano rolls."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from latentwave.bench.report.charts import COLOURS, Chart, colour, colour_bar

_WIDTH = 650.0
_WINDOW_SECONDS = 0.032
_LOUDEST, _FAINTEST = -10.0, -90.0  # decibels of full scale; silence is black


def sound_charts(
    sounds: Mapping[str, Float[np.ndarray, " _"]], sample_rate: int, prompt_seconds: float = 0.0
) -> list[Chart]:
    """Waveform and spectrogram of each sound, all on the same scales.

    Samples are in [−1, 1], and no sound is empty; the sample rate is in hertz. A line at
    `prompt_seconds` separates the prompt from what was generated.
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

    return [
        Chart(partial(drawing, name=name), width=_WIDTH, height=height)
        for name in sounds
        for drawing, height in ((wave, 90.0), (spectrum, 170.0))
    ]


def draw_spectrogram(axes: Axes, samples: Float[np.ndarray, " _"], sample_rate: int) -> Any:
    """Draw levels over seconds and kHz, a full-scale sine at 0 dB, and return the image."""
    longest = 2 ** round(np.log2(sample_rate * _WINDOW_SECONDS))
    half = max(8, min(longest, len(samples) // 4)) // 2
    # With half a window of silence at both ends, the image begins and ends with the sound.
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

    Rows of a piece are onset and end in seconds, pitch and velocity. A line at `prompt_seconds`
    separates the prompt from what was generated.
    """
    notes = np.concatenate([np.zeros((0, 4)), *pieces.values()])
    longest = float(notes[:, 1].max(initial=1.0))
    lowest, highest = notes[:, 2].min(initial=58) - 2, notes[:, 2].max(initial=62) + 2
    octaves = np.arange(-(-lowest // 12) * 12, highest + 1, 12)

    def roll(axes: Axes, name: str) -> None:
        onset, end, pitch, velocity = pieces[name].T
        # Notes are drawn slightly short, so that repeated ones stay apart.
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
