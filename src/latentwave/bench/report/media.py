"""Pictures of sound and of music: waveforms, spectrograms, piano rolls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from scipy import signal

from latentwave.bench.report.axes import LIGHT, SMALL_SIZE, TEXT_SIZE
from latentwave.bench.report.canvas import add_bar, new_figure, save_png

WIDTH_INCHES = 9.0
_COLUMNS = 1600  # of a waveform's outline, about one for each dot of the picture
_WINDOW_SECONDS = 0.032
_RANGE_DECIBELS = 80.0
_COLOURS = "magma"


def save_sounds(
    sounds: Mapping[str, Float[np.ndarray, " _"]],
    sample_rate: int,
    path: Path,
    *,
    prompt_seconds: float = 0.0,
) -> None:
    """See `write_sounds`."""
    height = 0.55 + 2.85 * len(sounds)
    figure = new_figure(WIDTH_INCHES, height, LIGHT.paper, layout="constrained")
    panels = figure.subplots(
        2 * len(sounds), 1, sharex=True, squeeze=False, height_ratios=[1, 2] * len(sounds)
    )[:, 0]
    longest = max(len(samples) for samples in sounds.values()) / sample_rate
    spectra = {name: _spectrogram(samples, sample_rate) for name, samples in sounds.items()}
    # Silence is black, not stretched to the full range of colours.
    loudest = max(-40.0, *(float(levels.max()) for _, _, levels in spectra.values()))
    scale = Normalize(loudest - _RANGE_DECIBELS, loudest)
    reach = max(0.05, *(float(np.abs(samples).max()) for samples in sounds.values()))
    image: Any = None
    for row, (name, samples) in enumerate(sounds.items()):
        wave, spectrum = panels[2 * row], panels[2 * row + 1]
        _draw_outline(wave, samples, sample_rate)
        wave.set_ylim(-1.05 * reach, 1.05 * reach)
        wave.set_title(name, loc="left", fontsize=TEXT_SIZE, color=LIGHT.ink, parse_math=False)
        wave.set_ylabel("amplitude")
        times, frequencies, levels = spectra[name]
        spectrum.set_facecolor("black")
        image = spectrum.pcolormesh(
            times, frequencies / 1000, levels, norm=scale, cmap=_COLOURS, rasterized=True
        )
        spectrum.set_ylabel("kHz")
    for axes in panels:
        _finish(axes, longest, prompt_seconds)
    panels[-1].set_xlabel("seconds", fontsize=SMALL_SIZE, color=LIGHT.muted)
    add_bar(figure, image, list(panels), "dB of full scale", aspect=40, fraction=0.03)
    save_png(figure, path, dpi=150)


def save_piano_rolls(
    pieces: Mapping[str, Float[np.ndarray, "_ 4"]],
    path: Path,
    *,
    prompt_seconds: float = 0.0,
) -> None:
    """See `write_piano_rolls`."""
    height = 0.55 + 2.6 * len(pieces)
    figure = new_figure(WIDTH_INCHES, height, LIGHT.paper, layout="constrained")
    panels = figure.subplots(len(pieces), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    notes = np.concatenate([np.zeros((0, 4)), *pieces.values()])
    longest = float(notes[:, 1].max(initial=1.0))
    lowest, highest = notes[:, 2].min(initial=58), notes[:, 2].max(initial=62)
    scale = Normalize(0, 127)
    lines: Any = None
    for axes, (name, piece) in zip(panels, pieces.items(), strict=True):
        segments = [[(on, pitch), (end, pitch)] for on, end, pitch, _ in piece]
        lines = LineCollection(
            segments, array=piece[:, 3], cmap="viridis_r", norm=scale, capstyle="butt"
        )
        axes.add_collection(lines)
        axes.set_ylim(lowest - 2, highest + 2)
        # In points: the axes are about 2.1 inches high.
        lines.set_linewidth(float(np.clip(2.1 * 72 / (highest - lowest + 4) * 0.8, 1.0, 6.0)))
        octaves = range(int(np.ceil(lowest / 12)) * 12, int(highest) + 1, 12)
        axes.set_yticks(list(octaves), [f"C{pitch // 12 - 1}" for pitch in octaves])
        axes.grid(axis="y", color=LIGHT.rule, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_title(
            f"{name}, {len(piece):,} notes",
            loc="left",
            fontsize=TEXT_SIZE,
            color=LIGHT.ink,
            parse_math=False,
        )
        _finish(axes, longest, prompt_seconds)
    panels[-1].set_xlabel("seconds", fontsize=SMALL_SIZE, color=LIGHT.muted)
    add_bar(figure, lines, list(panels), "velocity", aspect=40, fraction=0.03)
    save_png(figure, path, dpi=150)


def _draw_outline(axes: Axes, samples: Float[np.ndarray, " _"], sample_rate: int) -> None:
    if len(samples) <= 2 * _COLUMNS:
        times = np.arange(len(samples)) / sample_rate
        axes.plot(times, samples, color=LIGHT.contestants[0], linewidth=0.7)
        return
    edges = np.linspace(0, len(samples), _COLUMNS + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    axes.fill_between(
        edges / sample_rate, low, high, color=LIGHT.contestants[0], linewidth=0.3, step="post"
    )


def _spectrogram(
    samples: Float[np.ndarray, " _"], sample_rate: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, frequencies and levels in decibels below a sine at full scale."""
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
    return times - times[0], frequencies, 10 * np.log10(2 * power + 1e-12)


def _finish(axes: Axes, longest: float, prompt_seconds: float) -> None:
    axes.set_xlim(0, longest)
    if prompt_seconds > 0:
        axes.axvline(prompt_seconds, color=LIGHT.contestants[1], linewidth=1.2, dashes=(4, 3))
    axes.tick_params(labelsize=SMALL_SIZE, colors=LIGHT.muted, length=2)
    axes.yaxis.label.set(size=SMALL_SIZE, color=LIGHT.muted)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color(LIGHT.rule)
