import numpy as np
import pytest
from matplotlib.image import imread

from latentwave.bench.report import piano_roll_charts, sound_charts, write_charts

TIME = np.arange(16000) / 16000


@pytest.mark.parametrize("num_samples", [1, 50, 9000])
def test_sounds_of_any_length(tmp_path, num_samples):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / 8000)
    sounds = {"real": tone, "$generated": np.full(num_samples, np.nan)}
    write_charts(sound_charts(sounds, 8000, prompt_seconds=0.01), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (1300, 1625)


@pytest.mark.parametrize("hertz", [1000, 6000])
def test_a_tone_is_seen_where_it_is(hertz):
    _, chart = sound_charts({"tone": 0.5 * np.sin(2 * np.pi * hertz * TIME)}, 16000)
    spectrum = chart.heat_map
    row = spectrum.values.mean(axis=1).argmax()
    assert spectrum.y[row] <= hertz / 1000 <= spectrum.y[row + 1]
    assert spectrum.values[row].mean() == pytest.approx(20 * np.log10(0.5), abs=1.0)
    assert spectrum.x[-1] == pytest.approx(1.0, abs=0.02)


def test_piano_rolls(tmp_path):
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 20, 300))
    pitch, velocity = rng.integers(30, 90, 300), rng.integers(1, 128, 300)
    notes = np.stack([onset, onset + 0.4, pitch, velocity], axis=1)
    charts = piano_roll_charts({"real": notes, "none": notes[:0]}, prompt_seconds=3.0)
    write_charts(charts, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[1] == 1625
    roll = piano_roll_charts({"real": notes})[0].heat_map
    for start, end, pitch, velocity in notes[-5:]:
        row = np.searchsorted(roll.y, pitch) - 1
        column = np.searchsorted(roll.x, (start + end) / 2) - 1
        assert roll.values[row, column] == velocity
    assert piano_roll_charts({"none": notes[:0]})[0].title == "none, 0 notes"
