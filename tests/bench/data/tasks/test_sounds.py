import io
import zipfile

import numpy as np
import pytest

from latentwave.bench.data.tasks.clips import decode_clip
from latentwave.bench.data.tasks.codecs import SampleCodec
from latentwave.bench.data.tasks.sound_tables import esc, fsd50k, spoken_digits
from latentwave.errors import UserError

soundfile = pytest.importorskip("soundfile")
RATE = 8000


def tone(frequency=440.0, seconds=0.05, rate=RATE, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)
    return np.stack([wave] * channels, axis=1)


def sound(wave=None, rate=RATE, form="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone() if wave is None else wave, rate, format=form)
    return buffer.getvalue()


def read(corpus):
    found = {}
    for d in corpus.documents():
        found.setdefault(d.split, []).append((len(d.pieces[0]), d.label))
    return found


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_clips_are_mixed_resampled_and_cut_to_16_bits(form):
    samples = decode_clip(sound(tone(rate=16_000, seconds=1.0, channels=2), 16_000, form), RATE)
    assert samples.dtype == np.int16
    assert len(samples) == RATE
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == 440
    # Away from the ends, where resampling knows nothing beyond.
    middle = samples[1000:7000] / 32767
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.03)


def test_what_cannot_be_decoded():
    for content, message in [
        (b"", "no sound file"),
        (b"RIFF but no sound", "no sound file"),
        (sound(np.zeros((0, 1))), "is empty"),
    ]:
        with pytest.raises(UserError, match=message):
            decode_clip(content, RATE)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([0.1, np.nan]), RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(UserError, match="NaN"):
        decode_clip(buffer.getvalue(), RATE)


def test_samples_are_written_as_wav(tmp_path):
    codec = SampleCodec(RATE)
    codec.save(tmp_path)
    again = SampleCodec.load(tmp_path)
    assert again.sample_rate == RATE
    samples = decode_clip(sound(), RATE)
    again.write(again.encode(samples), tmp_path / "a.wav")
    assert (decode_clip((tmp_path / "a.wav").read_bytes(), RATE) == samples).all()
    with pytest.raises(UserError, match="classifies"):
        codec.encode_prompt("hello")


def write_fsd50k(folder, dev=None, evaluation=None, vocabulary=None, files=None):
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir(parents=True)
    (truth / "vocabulary.csv").write_text(
        vocabulary or "0,Bark,/m/05tny_\n1,Meow,/m/07qrkrw\n2,Rain,/m/06mb1\n"
    )
    (truth / "dev.csv").write_text(
        dev
        or 'fname,labels,mids,split\n10,Bark,/m/1,train\n11,"Rain,Meow","/m/2,/m/3",train\n'
        "12,Meow,/m/3,val\n"
    )
    (truth / "eval.csv").write_text(
        evaluation or 'fname,labels,mids\n20,"Bark,Rain",/m/1\n21,Rain,/m/2\n'
    )
    default = {"dev": ["10", "11", "12"], "eval": ["20", "21"]}
    for part, names in (files or default).items():
        (folder / f"FSD50K.{part}_audio").mkdir()
        for name in names:
            (folder / f"FSD50K.{part}_audio" / f"{name}.wav").write_bytes(sound())
    return folder


def test_fsd50k(tmp_path):
    corpus = fsd50k(write_fsd50k(tmp_path), RATE)
    assert corpus.class_names == ("Bark", "Meow", "Rain")
    assert corpus.multi_label
    assert read(corpus) == {
        "train": [(400, (0,)), (400, (1, 2))],
        "validation": [(400, (1,))],
        "test": [(400, (0, 2)), (400, (2,))],
    }
    assert corpus.skipped == []
    names = [source.name for source in corpus.sources]
    assert names[-3:] == ["dev.csv", "eval.csv", "vocabulary.csv"]
    assert set(names) == set(corpus.files)


def test_labels_without_files_and_files_without_labels_are_counted(tmp_path):
    files = {"dev": ["10", "11", "12", "99"], "eval": ["20"]}
    folder = write_fsd50k(tmp_path, files=files)
    with pytest.warns(UserWarning, match="skipped 1 sound") as warned:
        corpus = fsd50k(folder, RATE)
    assert "eval_audio/21.wav: a label without its file" in str(warned[0].message)
    assert "dev_audio/99.wav: a file without a label" in str(warned[1].message)
    assert {s: len(rows) for s, rows in read(corpus).items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert sorted(file.name[-6:] for file in corpus.skipped) == ["21.wav", "99.wav"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dev": "fname,labels,mids,split\n10,Howl,/m/1,train\n"},
            "clip 10 has a class 'Howl' that vocabulary.csv lacks",
        ),
        (
            {"dev": "fname,labels,mids,split\n10,Bark,/m/1,dev\n"},
            "clip 10 has an unknown split 'dev'",
        ),
        ({"dev": "fname,labels,mids\n10,Bark,/m/1\n"}, "has no column 'split'|row 1: expected"),
        ({"dev": "fname,labels,mids,split\n"}, "dev.csv is empty"),
        ({"dev": "fname,labels,mids,split\n10,Bark,train\n"}, r"dev.csv, row 2: expected 4"),
        ({"files": {"dev": [], "eval": []}}, "none of the 5 labelled clips is in"),
    ],
)
def test_damaged_tables_are_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        fsd50k(write_fsd50k(tmp_path, **changes), RATE)


def test_missing_tables_are_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no table .*vocabulary\.csv"):
        fsd50k(tmp_path, RATE)
    with pytest.raises(UserError, match=r"neither meta/esc50\.csv nor labels\.csv"):
        esc(tmp_path, RATE, 1)


def test_a_class_without_clips_is_named(tmp_path):
    folder = write_fsd50k(tmp_path, vocabulary="0,Bark,/1\n1,Meow,/2\n2,Rain,/3\n3,Wind,/4\n")
    with pytest.warns(UserWarning, match="1 of 4 classes have no clip to train on.* Wind"):
        corpus = fsd50k(folder, RATE)
    assert len(corpus.class_names) == 4


def write_esc50(folder):
    (folder / "meta").mkdir()
    (folder / "audio").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (7, "rain"), (40, "clock")):
            name = f"{fold}-{target}-A-{target}.wav"
            rows.append(f"{name},{fold},{target},{category},True,{fold},A")
            (folder / "audio" / name).write_bytes(sound())
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("fold", [1, 5])
def test_the_folds_of_esc50(tmp_path, fold):
    corpus = esc(write_esc50(tmp_path), RATE, fold)
    assert corpus.class_names == ("dog", "rain", "clock")
    found = read(corpus)
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 9,
        "validation": 3,
        "test": 3,
    }
    assert found["test"] == [(400, 0), (400, 1), (400, 2)]
    by_split = {clip.split: clip.name for clip in corpus._clips}
    assert by_split["test"][6] == str(fold)
    assert by_split["validation"][6] == str(fold % 5 + 1)


def test_the_table_beside_the_files(tmp_path):
    rows = "".join(
        f"{fold}-{label}.wav,{fold},{label},class {label},400\n"
        for fold in range(1, 6)
        for label in (0, 1)
    )
    (tmp_path / "labels.csv").write_text("file,fold,label,class,samples\n" + rows)
    for fold in range(1, 6):
        for label in (0, 1):
            (tmp_path / f"{fold}-{label}.wav").write_bytes(sound())
    corpus = esc(tmp_path, RATE, 2)
    assert corpus.class_names == ("class 0", "class 1")
    assert {s: len(rows) for s, rows in read(corpus).items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    with pytest.raises(UserError, match="fold must be 1 to 5, got 6"):
        esc(tmp_path, RATE, 6)
    (tmp_path / "labels.csv").write_text("file,fold,label,class\n1-0.wav,9,0,a\n")
    with pytest.raises(UserError, match="fold 9 or label 0 is out of range"):
        esc(tmp_path, RATE, 1)
    (tmp_path / "labels.csv").write_text("file,fold,label,class\n1-0.wav,one,0,a\n")
    with pytest.raises(UserError, match="fold 'one' is not a whole number"):
        esc(tmp_path, RATE, 1)
    (tmp_path / "labels.csv").write_text("file,fold,label,class\n1-0.wav,1,0,a\n2-0.wav,2,0,b\n")
    with pytest.raises(UserError, match="label 0 is called 'a' and 'b'"):
        esc(tmp_path, RATE, 1)


def write_digits(path, damaged=()):
    with zipfile.ZipFile(path, "w") as archive:
        for digit in range(10):
            for take in (0, 4, 5, 9, 10, 49):
                name = f"recordings/{digit}_ann_{take}.wav"
                archive.writestr(name, b"broken" if name in damaged else sound())
    return path


def test_spoken_digits_in_their_archive(tmp_path):
    corpus = spoken_digits(write_digits(tmp_path / "digits.zip"), RATE)
    found = read(corpus)
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 20,
        "validation": 20,
        "test": 20,
    }
    assert sorted(label for _, label in found["test"]) == sorted([*range(10)] * 2)
    assert {clip.name.rpartition("_")[2] for clip in corpus._clips if clip.split == "test"} == {
        "0.wav",
        "4.wav",
    }
    assert list(corpus.files) == ["digits.zip"]


def test_damaged_clips_are_passed_over_and_counted(tmp_path):
    damaged = ["recordings/3_ann_10.wav", "recordings/3_ann_0.wav"]
    corpus = spoken_digits(write_digits(tmp_path / "digits.zip", damaged), RATE)
    for _ in range(2):  # counted anew, not twice
        with pytest.warns(UserWarning, match=r"skipped 2 .*3_ann_10\.wav: no sound file"):
            found = read(corpus)
        assert sum(len(rows) for rows in found.values()) == 58
        assert [file.name for file in corpus.skipped] == damaged


def test_nothing_left_is_an_error(tmp_path):
    names = [f"recordings/{digit}_ann_{take}.wav" for digit in range(10) for take in (10, 49)]
    corpus = spoken_digits(write_digits(tmp_path / "digits.zip", names), RATE)
    with pytest.raises(UserError, match="none of the 20 train clips .* can be decoded; the first"):
        read(corpus)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("song.wav", sound())
    with pytest.raises(UserError, match="no recordings named like"):
        spoken_digits(tmp_path / "other.zip", RATE)
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("0_ann_0.wav", sound())
    with pytest.raises(UserError, match="has no train clips"):
        spoken_digits(tmp_path / "one.zip", RATE)
