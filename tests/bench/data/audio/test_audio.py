"""Recordings: reading, what can be wrong with them, tokens and back."""

import math
import re

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from latentwave.bench.data import CorpusConfig, open_store, prepare
from latentwave.bench.data.audio.codec import Linear8Bit, MuLaw
from latentwave.bench.data.audio.files import read_audio, resample
from latentwave.bench.data.corpus import UnusableFileError
from latentwave.errors import UserError
from tests.bench.data.audio.made import tone, write_tone

LEVELS = np.arange(256)
soxr = pytest.importorskip("soxr")


def config(path, **options):
    return CorpusConfig(**({"name": "audio", "path": str(path)} | options))


def read(path, rate=16000, lost=None):
    return np.concatenate(list(read_audio(path, rate, lost)))


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_U8", 2.0**-7),
        ("a.wav", "FLOAT", 0.0),
        ("a.flac", "PCM_24", 2.0**-23),
        ("a.ogg", "VORBIS", 0.02),
    ],
)
def test_formats(tmp_path, name, subtype, error):
    path = write_tone(tmp_path / name, subtype=subtype)
    samples = read(path)
    assert samples.dtype == np.float32
    assert np.abs(samples[500:7500] - tone(0.5, 16000)[500:7500]).max() <= error


def test_channels_are_averaged_and_silence_is_what_is_silent_then(tmp_path):
    sound = tone(0.2, 8000)
    for name, other in (("a.wav", -0.5 * sound), ("b.wav", -sound)):
        soundfile.write(tmp_path / name, np.stack([sound, other], 1), 8000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", 8000), 0.25 * sound, atol=1e-7)
    with pytest.raises(UserError, match=r"b\.wav is silent"):
        prepare(config(tmp_path / "b.wav"))


@pytest.mark.parametrize("rates", [(44100, 16000), (44101, 16000), (8000, 16000)])
def test_pieces_are_resampled_as_the_whole(rates):
    x = np.random.default_rng(0).standard_normal(100_001).astype(np.float32)
    cuts = np.sort(np.random.default_rng(1).integers(0, len(x), 20))
    y = np.concatenate(list(resample(np.split(x, cuts), *rates)))
    np.testing.assert_allclose(y, soxr.resample(x, *rates), atol=1e-6)
    assert abs(len(y) - len(x) * rates[1] / rates[0]) <= 1


def sweep(seconds, rate=16000):
    """Every moment sounds different, and hardly compressible."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    return (0.5 * np.sin(2 * np.pi * (200 + 15 * t) * t) + noise).astype(np.float32)


def tagged(content):
    return b"ID3\x03\0\0\0\0\x08\0" + bytes(1024) + content + b"TAG" + bytes(125)


def headless_mp3(content):
    """Without the first frame, which tells the length."""
    frame = content.find(content[:2], max(content.find(b"Xing"), content.find(b"Info")))
    return tagged(content[frame:])


def unknown_length(content):
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


def without_last_page(content):
    return content[: content.rfind(b"OggS")]


def cut(content):
    return content[: len(content) * 9 // 10]


def streamed(content):
    place = content.index(b"data") + 4
    return content[:place] + b"\xff" * 4 + content[place + 4 :]


def garbled(content):
    place = len(content) * 9 // 10
    return content[:place] + bytes(20_000) + content[place + 20_000 :]


def zeroed(content):
    place = len(content) // 2
    return content[:place] + bytes(3000) + content[place + 3000 :]


def zeroed_at_start(content):
    return content[:5000] + bytes(3000) + content[8000:]


def tagged_at_end(content):
    return content + b"TAG" + bytes(125)


def zeroed_unknown_length(content):
    return unknown_length(zeroed(content))


def headless_zeroed_mp3(content):
    return headless_mp3(zeroed(content))


def badly_ended(content):
    return content[:-1000] + np.random.default_rng(0).bytes(1000)


COUNT = r"^{} of 960,000 samples \(\d\.\d s\) cannot be decoded"
AT_LEAST = r"^at least [\d,]+ samples \(0\.\d s\) cannot be decoded"
HALFWAY = r", the first after (29|30)\.\d s"


@pytest.mark.parametrize(
    ("name", "spoil", "share", "told"),
    [
        ("a.mp3", tagged, 1.0, ""),
        ("a.mp3", headless_mp3, 0.999, ""),
        ("a.mp3", zeroed, 0.98, COUNT + HALFWAY),
        ("a.mp3", headless_zeroed_mp3, 0.98, AT_LEAST + HALFWAY),
        ("a.mp3", cut, 0.88, COUNT),
        ("a.flac", unknown_length, 1.0, ""),
        ("a.flac", zeroed, 0.99, COUNT + HALFWAY),
        ("a.flac", zeroed_unknown_length, 0.99, AT_LEAST + HALFWAY),
        ("a.flac", garbled, 0.97, COUNT),
        ("a.flac", cut, 0.88, COUNT),
        ("a.ogg", bytes, 1.0, ""),
        ("a.ogg", without_last_page, 0.97, "breaks off after 5.."),
        ("a.ogg", badly_ended, 0.97, "breaks off after 5.."),
        ("a.ogg", cut, 0.88, "breaks off after 5.."),
        ("a.ogg", garbled, 0.88, COUNT),
        ("a.ogg", tagged_at_end, 1.0, "breaks off after 60.0 s, or something else follows its end"),
        ("a.ogg", zeroed, 0.95, COUNT),
        ("a.ogg", zeroed_at_start, 0.95, "it is damaged"),
        ("a.opus", zeroed, 0.95, COUNT),
        ("a.opus", cut, 0.88, "breaks off after 5.."),
        ("a.wav", cut, 0.88, "breaks off after 54.0 s"),
        ("a.aiff", cut, 0.88, "breaks off after 54.0 s"),
        ("a.au", cut, 0.88, "breaks off after 54.0 s"),
        ("a.wav", streamed, 1.0, ""),
    ],
)
def test_sound_is_read_as_far_as_it_can_be_decoded(tmp_path, capfd, name, spoil, share, told):
    whole = sweep(60)
    options = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(tmp_path / name, whole, 16000, **options)
    (tmp_path / name).write_bytes(spoil((tmp_path / name).read_bytes()))
    lost = []
    samples = read(tmp_path / name, lost=lost)
    assert share * len(whole) <= len(samples) <= 1.01 * len(whole)
    assert bool(lost) == bool(told), lost
    assert re.search(told.format(f"{len(whole) - len(samples):,}"), "; ".join(lost)), lost
    assert told or "Xing" not in capfd.readouterr().err  # libmpg123 finds whole files in order
    # The middle is the sound itself; so is the end, unless it is missing.
    for start, end in ((100_000, 108_000), (925_000, 933_000))[: 1 + (share > 0.9)]:
        lags = np.correlate(samples[start - 40_000 : end + 3000], whole[start:end])
        assert lags.max() > 0.95 * np.dot(whole[start:end], whole[start:end])


def test_nothing_is_read_twice_from_an_mp3_whose_format_seems_to_change(tmp_path):
    """libmpg123 stopped at such a place, and a seek there went half of the way back."""
    soundfile.write(tmp_path / "a.mp3", sweep(60), 16000)
    content = (tmp_path / "a.mp3").read_bytes()
    place, lost = len(content) // 2, []
    noise = np.random.default_rng(4).bytes(3000)
    (tmp_path / "a.mp3").write_bytes(content[:place] + noise + content[place + 3000 :])
    samples = read(tmp_path / "a.mp3", lost=lost)
    assert len(samples) < 0.51 * 60 * 16000
    assert re.search("^4[67].,... of 960,000 samples", lost[0])


def test_samples_that_are_no_numbers_become_silence(tmp_path):
    whole = np.stack([sweep(20), sweep(20)], axis=1)
    whole[[9, 100_000, 100_001]] = [[0.5, np.nan], [np.inf, np.nan], [-np.inf, 0.25]]
    soundfile.write(tmp_path / "a.wav", whole, 16000, subtype="FLOAT")
    lost = []
    samples = read(tmp_path / "a.wav", lost=lost)
    assert lost == ["3 of 320,000 samples are no numbers, silence instead"]
    np.testing.assert_allclose(
        samples, np.nan_to_num(whole, posinf=0, neginf=0).mean(axis=1), atol=1e-6
    )


def test_what_is_lost_is_counted_and_named(tmp_path):
    path = write_tone(tmp_path / "in" / "a.flac", 20.0)
    write_tone(tmp_path / "in" / "b.wav")
    path.write_bytes(cut(path.read_bytes()))
    with pytest.warns(
        UserWarning, match=r"parts of 1 of 2 files: .*a\.flac: .* cannot be decoded, the"
    ):
        store = prepare(config(tmp_path / "in"))
    assert store.metadata.num_documents == 2
    assert store.metadata.num_tokens > 0.8 * 20 * 16000


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "no audio"),
        (lambda path: path.write_text("RIFF of nothing"), "no audio"),
        (lambda path: soundfile.write(path, np.zeros(0), 8000), "holds no samples"),
        (lambda path: soundfile.write(path, np.ones(9), 7), "sample rate of 7 Hz"),
        (lambda path: soundfile.write(path, [np.inf, np.nan], 8000, subtype="FLOAT"), "no numbers"),
    ],
)
def test_what_yields_nothing_is_skipped(tmp_path, make, reason):
    make(tmp_path / "a.wav")
    with pytest.raises(UnusableFileError, match=reason):
        read(tmp_path / "a.wav")


def mu_law_by_the_formula(x):
    x = min(1.0, max(-1.0, x))
    compressed = math.log(1 + 255 * abs(x)) / math.log(256)
    return math.floor((math.copysign(compressed, x) + 1) / 2 * 255 + 0.5)


@given(st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50))
def test_mu_law_is_its_formula(samples):
    tokens = MuLaw(16000).encode(np.array(samples, dtype=np.float32))
    assert tokens.tolist() == [mu_law_by_the_formula(float(np.float32(x))) for x in samples]


def test_linear_tokens_are_the_bytes_of_8_bit_pcm():
    codec = Linear8Bit(16000)
    assert (codec.decode(LEVELS) == (LEVELS - 128) / 128).all()
    assert codec.encode(np.array([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize("codec", [MuLaw(16000), Linear8Bit(16000)])
def test_every_level_comes_back(codec):
    samples = codec.decode(LEVELS)
    assert samples.dtype == np.float32
    assert codec.encode(samples).tolist() == LEVELS.tolist()
    assert (np.diff(samples) > 0).all()
    assert abs(samples[128]) < 1e-4  # silence stays silent
    assert codec.begin().tolist() == [128]


@pytest.fixture
def folder(tmp_path):
    for n in range(4):
        write_tone(tmp_path / "in" / "sub" / f"{n}.wav", 0.25, subtype="FLOAT", hertz=300 + n)
    return tmp_path / "in"


@pytest.mark.parametrize("kind", [MuLaw, Linear8Bit])
def test_a_folder_becomes_tokens_and_sound_again(folder, tmp_path, kind):
    store = prepare(config(folder, tokenizer=kind.kind))
    meta = store.metadata
    assert (meta.vocab_size, meta.dtype, meta.unit) == (256, "uint8", "sample")
    assert meta.num_units == {"sample": 16000}
    tokens = np.concatenate([store.split(name) for name in meta.splits])
    expected = np.concatenate([tone(0.25, 16000, hertz=300 + n) for n in range(4)])
    assert (tokens == kind(16000).encode(expected)).all()
    assert store.documents.tolist() == [0, 4000, 8000, 12000]
    # Samples, so bits per sample are nats over ln 2.
    assert store.bits_per_unit(np.log(2)) == {"sample": pytest.approx(1.0)}
    codec = open_store(store.folder).codec
    assert codec.seconds(tokens) == 1.0
    codec.write(tokens, tmp_path / "out.wav")
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == 16000
    assert np.abs(samples - expected).max() < 0.02
    assert (codec.encode_prompt(str(tmp_path / "out.wav")) == tokens).all()
    low = prepare(config(folder, sample_rate=8000)).codec
    assert low.sample_rate == 8000
    assert not low.same_tokens(codec)


def test_youtubemix_has_its_published_split(tmp_path):
    for n in range(50):
        write_tone(tmp_path / "mix" / f"out{n}.wav", 0.01, level=0.1 + 0.01 * n)
    store = prepare(config(tmp_path / "mix", name="youtubemix"))
    # In the order of their numbers: 0 … 43, 44 … 46, 47 … 49.
    names = [source.name for source in store.metadata.provenance.sources]
    assert names == [f"out{n}.wav" for n in range(50)]
    assert [split.num_tokens // 160 for split in store.metadata.splits.values()] == [44, 3, 3]
    for path in list((tmp_path / "mix").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="2 audio files, too few"):
        prepare(config(tmp_path / "mix", name="youtubemix"))


def test_prompts_and_files_that_cannot_be(tmp_path):
    codec = MuLaw(16000)
    with pytest.raises(UserError, match="is an audio file; there is none at"):
        codec.encode_prompt("The ")
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"prompt .*b\.wav is damaged or no audio"):
        codec.encode_prompt(str(tmp_path / "b.wav"))
    soundfile.write(tmp_path / "c.wav", [0.1, np.nan], 16000, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"prompt .*c\.wav: 1 of 2 samples are no numbers"):
        assert codec.encode_prompt(str(tmp_path / "c.wav")).size == 2
    with pytest.raises(UserError, match=r"name a \.wav or \.flac file"):
        codec.write(np.zeros(9, np.uint8), tmp_path / "x.txt")
