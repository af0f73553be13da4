import numpy as np
import pytest
from matplotlib.image import imread

from latentwave.bench.report import write_piano_rolls, write_sounds


@pytest.mark.parametrize("num_samples", [1, 50, 700, 9000])
def test_sounds_of_any_length(tmp_path, num_samples):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / 8000)
    path = tmp_path / "a.png"
    write_sounds({"real": tone, "$generated": np.zeros(num_samples)}, 8000, path)
    assert imread(path).shape[:2] == (937, 1350)


def test_a_tone_is_seen_where_it_is(tmp_path):
    time = np.arange(16000) / 16000
    low = 0.5 * np.sin(2 * np.pi * 1000 * time)
    write_sounds({"low": low}, 16000, tmp_path / "low.png")
    write_sounds({"high": 0.5 * np.sin(2 * np.pi * 6000 * time)}, 16000, tmp_path / "high.png")
    # The brightest row of the spectrogram, in the lower two thirds of the picture.
    rows = []
    for name in ("low", "high"):
        picture = imread(tmp_path / f"{name}.png")[:, 300:900, :3]
        spectrum = picture[200:425].min(axis=2)
        rows.append(int(spectrum.mean(axis=1).argmax()))
    assert rows[0] > rows[1] + 60


def test_piano_rolls(tmp_path):
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 20, 300))
    notes = np.stack(
        [onset, onset + 0.4, rng.integers(30, 90, 300), rng.integers(1, 128, 300)], axis=1
    )
    write_piano_rolls({"real": notes, "none": notes[:0]}, tmp_path / "a.png", prompt_seconds=3.0)
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] == 1350
    assert (picture[:, :, :3].min(axis=2) < 0.9).mean() > 0.01
    write_piano_rolls({"none": notes[:0]}, tmp_path / "b.png")
    assert (tmp_path / "b.png").is_file()
