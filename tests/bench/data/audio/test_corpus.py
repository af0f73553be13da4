import json
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile

from latentwave.bench.data import CorpusConfig, guess_corpus, open_store, prepare
from latentwave.bench.data.audio.quantise import encode_linear, encode_mu_law
from latentwave.errors import UserError
from tests.bench.data.audio.made import tone, write_tone


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    for n in range(4):
        write_tone(folder / "sub" / f"{n}.wav", 0.25, hertz=300 + n, subtype="FLOAT")
    return folder


def config(folder, **kwargs):
    return CorpusConfig(**({"name": "audio", "path": str(folder)} | kwargs))


@pytest.mark.parametrize(
    ("tokenizer", "encode"), [("mu-law", encode_mu_law), ("linear-8bit", encode_linear)]
)
def test_a_folder_becomes_tokens_and_sound_again(folder, tmp_path, tokenizer, encode):
    store = prepare(config(folder, tokenizer=tokenizer))
    meta = store.metadata
    assert (meta.vocab_size, meta.dtype, meta.unit) == (256, "uint8", "sample")
    assert meta.num_documents == 4
    assert meta.num_units == {"sample": 16000}
    tokens = np.concatenate([store.split(name) for name in meta.splits])
    expected = np.concatenate([tone(0.25, 16000, hertz=300 + n) for n in range(4)])
    assert (tokens == encode(expected)).all()
    assert store.documents.tolist() == [0, 4000, 8000, 12000]
    # Samples, so bits per sample are nats over ln 2.
    assert store.bits_per_unit(np.log(2)) == {"sample": pytest.approx(1.0)}

    codec = open_store(store.folder).codec
    assert codec.seconds(tokens) == 1.0
    codec.write(tokens, tmp_path / "out.wav")
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == 16000
    assert np.abs(samples - codec.decode(tokens)).max() <= 2.0**-15
    assert np.abs(samples - expected).max() < 0.02
    assert (codec.encode_prompt(str(tmp_path / "out.wav")) == tokens).all()


def test_the_rate_is_an_option_and_part_of_the_store(folder):
    store = prepare(config(folder, sample_rate=8000))
    assert store.metadata.num_tokens == 8000
    assert store.codec.sample_rate == 8000
    assert prepare(config(folder)).folder != store.folder
    with pytest.raises(UserError, match=r"sample_rate must be in \[1000, 768000\] Hz, got 3"):
        config(folder, sample_rate=3)
    with pytest.raises(UserError, match="takes no sample_rate"):
        CorpusConfig(sample_rate=8000)


def test_bad_files_among_good_ones_are_named_and_counted(folder):
    (folder / "sub" / "b.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "sub" / "c.wav", np.zeros(800), 16000)
    soundfile.write(folder / "sub" / "d.wav", np.zeros(0), 16000)
    (folder / "README.txt").write_text("not a sound, and not counted")
    with pytest.warns(UserWarning, match=r"skipped 3 of 7 .*b\.wav .*no audio.*c\.wav is silent"):
        store = prepare(config(folder))
    reasons = {file.name: file.reason for file in store.metadata.provenance.skipped}
    assert list(reasons) == ["sub/b.wav", "sub/c.wav", "sub/d.wav"]
    assert reasons["sub/d.wav"].endswith("holds no samples")
    assert [source.name for source in store.metadata.provenance.sources] == [
        f"sub/{n}.wav" for n in range(4)
    ]
    assert store.metadata.num_tokens == 16000


def test_a_file_that_breaks_in_the_middle_leaves_nothing(folder):
    path = write_tone(folder / "sub" / "2a.flac", 20.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"2a\.flac is damaged"):
        store = prepare(config(folder))
    assert store.metadata.num_tokens == 16000


def test_clipped_and_too_loud_files_are_counted_and_kept(folder):
    square = np.sign(tone(0.25, 16000))
    soundfile.write(folder / "sub" / "5.wav", square, 16000)
    soundfile.write(folder / "sub" / "6.wav", 4 * tone(0.25, 16000), 16000, subtype="FLOAT")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = prepare(config(folder, tokenizer="linear-8bit"))
    messages = [str(warning.message) for warning in caught]
    assert any("1 of 6 files" in m and "clipped" in m and "5.wav" in m for m in messages)
    assert any("1 of 6 files" in m and "scaled down" in m and "by 0.5" in m for m in messages)
    assert store.metadata.num_documents == 6
    tokens = np.concatenate([store.split(name) for name in store.metadata.splits])
    # Scaled to full scale, not cut off.
    assert (tokens[20000:] == encode_linear(2 * tone(0.25, 16000))).mean() > 0.99


def test_nothing_to_hear_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file or folder"):
        prepare(config(tmp_path / "missing"))
    with pytest.raises(UserError, match="holds no audio files"):
        prepare(config(tmp_path))
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    with pytest.raises(UserError, match=r"a\.wav is silent"):
        prepare(config(tmp_path / "a.wav"))
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(UserError, match="none of the 2 files .*a.wav is silent"):
        prepare(config(tmp_path))


def test_files_stay_whole_if_wanted(folder):
    store = prepare(config(folder, split_by="file", validation=0.25, test=0.25))
    assert {name: len(store.split(name)) for name in store.metadata.splits} == {
        "train": 8000,
        "validation": 4000,
        "test": 4000,
    }


def test_youtubemix_has_its_published_split(tmp_path):
    for n in range(50):
        write_tone(tmp_path / "mix" / f"out{n}.wav", 0.01, level=0.1 + 0.01 * n)
    store = prepare(config(tmp_path / "mix", name="youtubemix"))
    # In the order of their numbers: 0 … 43, 44 … 46, 47 … 49.
    names = [source.name for source in store.metadata.provenance.sources]
    assert names == [f"out{n}.wav" for n in range(50)]
    sizes = [len(store.split(name)) // 160 for name in ("train", "validation", "test")]
    assert sizes == [44, 3, 3]
    with pytest.raises(UserError, match="takes no split_by"):
        config(tmp_path / "mix", name="youtubemix", split_by="file")
    for path in list((tmp_path / "mix").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="2 audio files, too few"):
        prepare(config(tmp_path / "mix", name="youtubemix"))


def test_audio_is_recognised(folder, tmp_path):
    assert guess_corpus(folder) == "audio"
    assert guess_corpus(folder / "sub" / "0.wav") == "audio"
    (tmp_path / "a.txt").write_text("text")
    assert guess_corpus(tmp_path / "a.txt") == "text"


def test_a_damaged_codec_is_named(folder):
    store = prepare(config(folder))
    (store.folder / "audio.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match="'mu-law' codec in .* is damaged"):
        open_store(store.folder).codec.seconds(np.zeros(1))


def test_prompts_and_files_that_cannot_be(folder, tmp_path):
    codec = prepare(config(folder)).codec
    with pytest.raises(UserError, match="is an audio file; there is none at"):
        codec.encode_prompt("The ")
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"prompt .*b\.wav is damaged or no audio"):
        codec.encode_prompt(str(tmp_path / "b.wav"))
    with pytest.raises(UserError, match="name a .wav or .flac file"):
        codec.write(np.zeros(9, np.uint8), tmp_path / "x.txt")


def test_memory_does_not_grow_with_the_sound(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 44100, 2) as file:
        for _ in range(120):
            file.write(np.repeat(tone(1.0, 44100)[:, None], 2, axis=1))
    tracemalloc.start()
    try:
        store = prepare(config(tmp_path / "a.wav"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert store.metadata.num_tokens == 120 * 16000
    assert peak < 12_000_000
