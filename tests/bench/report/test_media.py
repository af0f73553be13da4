import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from latentwave.bench.report import piano_roll_charts, sound_charts, write_charts
from latentwave.bench.report.media import draw_spectrogram
from tests.bench.report.made_up import drawn

TIME = np.arange(16000) / 16000


@pytest.mark.parametrize("num_samples", [1, 50, 9000])
def test_sounds_of_any_length(tmp_path, num_samples):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / 8000)
    sounds = {"real": tone, "$generated": np.full(num_samples, np.nan)}
    write_charts(sound_charts(sounds, 8000, prompt_seconds=0.01), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (1300, 1625)


@pytest.mark.parametrize("hertz", [1000, 6000])
def test_a_tone_is_seen_where_it_is(hertz):
    image = draw_spectrogram(Figure().subplots(), 0.5 * np.sin(2 * np.pi * hertz * TIME), 16000)
    levels = image.get_array()[::-1]
    row = levels.mean(axis=1).argmax()
    assert row / (len(levels) - 1) * 8000 == pytest.approx(hertz, abs=40)
    assert levels[row].mean() == pytest.approx(20 * np.log10(0.5), abs=1.0)
    assert image.get_extent()[:2] == [0.0, 1.0]


def test_piano_rolls(tmp_path):
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 20, 300))
    pitch, velocity = rng.integers(30, 90, 300), rng.integers(1, 128, 300)
    notes = np.stack([onset, onset + 0.4, pitch, velocity], axis=1)
    charts = piano_roll_charts({"real": notes, "none": notes[:0]}, prompt_seconds=3.0)
    write_charts(charts, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[1] == 1625
    real, none = map(drawn, charts)
    assert [axes.get_title() for axes in (real, none)] == ["real, 300 notes", "none, 0 notes"]
    bars = real.collections[0]
    assert bars.get_array().tolist() == velocity.tolist()
    starts = [segment[0].tolist() for segment in bars.get_segments()]
    assert starts == [[*place] for place in zip(onset, pitch, strict=True)]
