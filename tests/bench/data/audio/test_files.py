import numpy as np
import pytest
import soundfile

from latentwave.bench.data.audio.files import Level, read_audio
from latentwave.bench.data.media import UnusableFileError
from tests.bench.data.audio.made import tone, write_tone


def read(path, rate=16000, **kwargs):
    return np.concatenate(list(read_audio(path, rate, **kwargs)))


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_U8", 2.0**-7),
        ("a.wav", "PCM_16", 2.0**-15),
        ("a.wav", "PCM_24", 2.0**-23),
        ("a.wav", "FLOAT", 0.0),
        ("a.flac", "PCM_24", 2.0**-23),
        ("a.aiff", "PCM_16", 2.0**-15),
        ("a.ogg", "VORBIS", 0.02),
    ],
)
def test_formats(tmp_path, name, subtype, error):
    samples = read(write_tone(tmp_path / name, subtype=subtype))
    assert samples.dtype == np.float32
    assert np.abs(samples[500:7500] - tone(0.5, 16000)[500:7500]).max() <= error


def test_mp3(tmp_path):
    samples = read(write_tone(tmp_path / "a.mp3", 1.0))
    assert abs(len(samples) - 16000) < 2500  # the codec pads
    assert np.sqrt(np.mean(samples[4000:12000] ** 2)) == pytest.approx(0.5 / 2**0.5, rel=0.02)


def test_channels_are_averaged(tmp_path):
    both = np.stack([tone(0.2, 8000), -0.5 * tone(0.2, 8000)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 8000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", 8000), 0.25 * tone(0.2, 8000), atol=1e-7)


def test_an_odd_rate_is_resampled(tmp_path):
    samples = read(write_tone(tmp_path / "a.wav", 0.5, 44101, subtype="FLOAT"))
    assert len(samples) == np.ceil(int(0.5 * 44101) * 16000 / 44101)
    assert np.abs(samples - tone(0.6, 16000)[: len(samples)])[100:-100].max() < 2e-3


def test_what_a_file_says_of_its_level(tmp_path):
    level = Level()
    path = write_tone(tmp_path / "a.wav", level=2.5, subtype="FLOAT", channels=2)
    samples = read(path, level=level)
    assert level.num_frames == 8000
    assert level.num_values == 16000
    assert level.peak == pytest.approx(2.5, abs=1e-3)
    assert level.gain == pytest.approx(0.4, abs=1e-3)
    assert level.is_clipped
    assert np.abs(samples).max() == 1.0
    assert np.abs(read(path, gain=level.gain) - tone(0.5, 16000, level=1.0)).max() < 1e-3


def damaged(path):
    content = bytearray(write_tone(path, 5.0).read_bytes())
    content[len(content) // 2 :] = b""
    path.write_bytes(content)


def garbled(path):
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 160_000), 16000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.wav", lambda path: path.write_bytes(b""), "no audio"),
        ("a.wav", lambda path: path.write_text("RIFF of nothing"), "no audio"),
        ("a.flac", damaged, "is damaged"),
        ("a.ogg", garbled, "of 160,000 samples can be decoded"),
        ("a.wav", lambda path: soundfile.write(path, np.zeros(0), 8000), "holds no samples"),
        ("a.wav", lambda path: soundfile.write(path, np.ones(9), 7), "sample rate of 7 Hz"),
        (
            "a.wav",
            lambda path: soundfile.write(path, np.array([0.1, np.nan]), 8000, subtype="FLOAT"),
            "no numbers",
        ),
    ],
)
def test_faults(tmp_path, name, make, reason):
    make(tmp_path / name)
    with pytest.raises(UnusableFileError, match=reason):
        read(tmp_path / name)
