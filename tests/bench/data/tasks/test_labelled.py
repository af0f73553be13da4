"""Every labelled corpus, from files in its own layout to a token store."""

import gzip
import lzma
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from latentwave.bench.data import CorpusConfig, open_store, prepare
from latentwave.bench.data.tasks.codecs import PcmCodec
from latentwave.errors import UserError
from tests.bench.data.tasks import made

soundfile = pytest.importorskip("soundfile")
pytestmark = pytest.mark.filterwarnings("ignore:.* classes have no example to train on")
WITH_FILES = [case for case, (_, write, *_) in made.CORPORA.items() if write]


def config_of(case, folder, **changes):
    name, write, options, _ = made.CORPORA[case]
    path = {} if write is None else {"path": str(write(folder))}
    return CorpusConfig(name=name, **(path | options | changes))


def documents(store, split):
    """The tokens of each document and its label."""
    tokens, labels = store.split(split), store.labels
    return [(tokens[start:stop], labels[i].tolist()) for i, start, stop in store.spans(split)]


@pytest.mark.parametrize("case", made.CORPORA)
def test_a_corpus_becomes_a_labelled_store(case, tmp_path):
    config = config_of(case, tmp_path / "files")
    store = prepare(config)
    meta = store.metadata
    sizes = tuple(len(store.spans(split)) for split in ("train", "validation", "test"))
    assert sizes == made.CORPORA[case][3]
    assert meta.multi_label == (case == "fsd50k")
    assert len(store.labels) == meta.num_documents == sum(sizes)
    assert store.labels.max() < meta.num_classes
    for split in meta.splits:
        tokens = store.split(split)
        assert meta.vocab_size == 0 or tokens.max() < meta.vocab_size
        assert meta.splits[split].num_units[meta.unit] == len(tokens)
    assert type(store.codec).kind == meta.tokenizer
    names = {source.name for source in meta.provenance.sources}
    assert names == set(config.kind.read(config).files) or config.path is None
    assert names.isdisjoint(file.name for file in meta.provenance.left_out)
    store.verify()
    # The same corpus again is the same store, found by its fingerprint.
    assert prepare(config).folder == store.folder
    assert open_store(store.folder).metadata == meta


@pytest.mark.parametrize(("case", "packed"), [("mnist", ".gz"), ("esc50", ".xz"), ("imdb", ".gz")])
def test_compressed_files_are_read_in_place(case, packed, tmp_path):
    plain = prepare(config_of(case, tmp_path / "files"))
    compress = gzip.compress if packed == ".gz" else lzma.compress
    for path in [p for p in (tmp_path / "files").rglob("*") if p.is_file() and p.suffix != ".wav"]:
        path.with_name(path.name + packed).write_bytes(compress(path.read_bytes()))
        path.unlink()
    name, _, options, _ = made.CORPORA[case]
    store = prepare(CorpusConfig(name=name, path=str(tmp_path / "files"), **options))
    assert store.metadata.sha256 == plain.metadata.sha256
    assert store.labels.tolist() == plain.labels.tolist()


def test_a_damaged_packed_review_is_skipped(tmp_path):
    config = config_of("imdb", tmp_path)
    path = tmp_path / "train" / "pos" / "0_7.txt.gz"
    path.write_bytes(gzip.compress(b"fine" * 99)[:-9])
    with pytest.warns(UserWarning, match="skipped 1 of 41 files: .*0_7.txt.gz is damaged"):
        assert prepare(config).metadata.num_documents == 40


DAMAGES = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) * 2 // 3],
    "no text": lambda content: b"\x80\x81\xfe\n" * 40,
    "a folder": None,
}


@pytest.mark.parametrize("case", WITH_FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line_or_is_counted(case, damage, tmp_path):
    """Whatever a file holds: the corpus without it, with a word about it, or a `UserError`."""
    config = config_of(case, tmp_path / "files")
    files = {path.suffix: path for path in (tmp_path / "files").rglob("*") if path.is_file()}
    for path in files.values():  # one of each kind
        content = path.read_bytes()
        path.unlink()
        if DAMAGES[damage] is None:
            path.mkdir()
        else:
            path.write_bytes(DAMAGES[damage](content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcome = str(prepare(config).folder)
            except UserError as error:
                outcome = str(error)
        assert "\n" not in outcome
        assert str(tmp_path) in outcome or path.name in outcome
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(content)


DEV, VOCABULARY = "FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/vocabulary.csv"
HEAD = "fname,labels,split\n"
ESC = "file,fold,label,class\n"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("case", "file", "content", "message"),
    [
        (
            "mnist",
            "t10k-labels-idx1-ubyte",
            made.idx(np.zeros(7)),
            r"but t10k-labels.* of shape \(7,\)",
        ),
        ("mnist", "t10k-labels-idx1-ubyte", made.idx(np.full(8, 11)), "label 11, but the classes"),
        ("mnist", "t10k-images-idx3-ubyte", None, "has no t10k-images-idx3-ubyte"),
        ("mnist", LABELS, b"\0\0\x08\x01\0\0\0\5abc", "3 into shape"),
        ("mnist", LABELS, b"PK\x03\x04", "is not an idx file"),
        ("cifar10", "data_batch_2.bin", b"\0" * 3072, "not a multiple of 3,073"),
        ("cifar10", "data_batch_2.bin", b"\x0a" + b"\0" * 3072, "there is a label 10"),
        ("imdb-tables", "test.tsv", None, "has no test.tsv: name the folder of the two tables"),
        ("imdb-tables", "test.tsv", "0\t1\t2\tgood\n2\t1\t2\tbad\n", "line 2: .* got b'2"),
        ("imdb-tables", "test.tsv", "0\t1\t2\n", "line 1: expected a label"),
        ("imdb-tables", "test.tsv", "0\t1\t2\t\n", "line 1: expected a label"),
        ("fsd50k", VOCABULARY, None, "cannot read .*vocabulary.csv: No s"),
        ("fsd50k", VOCABULARY, "0,Bark,a\n1,Bark,b\n", "a class twice"),
        ("fsd50k", DEV, HEAD + "10,Howl,train\n", "'Howl'"),
        ("fsd50k", DEV, HEAD + "10,Bark,x\n", "split 'x'"),
        ("fsd50k", DEV, "fname,labels\n10,Bark\n", "no column 'split'"),
        ("fsd50k", DEV, HEAD, "dev.csv is empty"),
        ("fsd50k", DEV, HEAD + "1,2\n", "line 2: expected 3"),
        ("esc50", "meta/esc50.csv", None, r"neither meta/esc50\.csv nor labels\.csv"),
        ("esc10", "labels.csv", ESC + "1-0.wav,9,0,a\n", "has fold '9'"),
        ("esc10", "labels.csv", ESC + "a,1,0,a\nb,1,0,b\n", "class 'b'"),
        ("esc10", "labels.csv", ESC + "x,3,0,a\n", "none of its 1 labelled train"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(case, file, content, message, tmp_path):
    config = config_of(case, tmp_path / "files")
    (tmp_path / "files" / file).unlink()
    if content is not None:
        made.write(tmp_path / "files", {file: content})
    with pytest.raises(UserError, match=message):
        prepare(config)


def test_published_tests_stay_whole_and_other_shares_are_dealt(tmp_path):
    store = prepare(config_of("imdb", tmp_path / "files"))
    for split in ("train", "validation", "test"):
        for tokens, label in documents(store, split):
            folder, name, _ = bytes(tokens).decode().split("/")
            assert (folder == "test") == (split == "test")
            assert name == ("neg", "pos")[label]
    images = prepare(config_of("mnist-test", tmp_path / "images"))
    found = [tokens for split in images.metadata.splits for tokens, _ in documents(images, split)]
    assert len({bytes(tokens) for tokens in found}) == 30


def test_reviews_of_tables(tmp_path):
    store = prepare(config_of("imdb-tables", tmp_path))
    for split, count in (("train", 8), ("test", 4)):
        for tokens, label in documents(store, split):
            number = int(bytes(tokens[1:2]))
            assert (bytes(tokens).decode(), label) == (f'"{number}\t é', number % 2)
            assert number < count


def test_rows_and_colours(tmp_path):
    digits = prepare(config_of("mnist", tmp_path / "mnist"))
    assert documents(digits, "test")[7][0].tolist() == [*range(42, 48)]
    assert [label for _, label in documents(digits, "test")] == [*range(8)]
    colours = prepare(config_of("cifar10", tmp_path / "cifar"))
    row, label = documents(colours, "test")[1]
    assert (len(row), label) == (1024, 6)
    # 0.299 · red + 0.587 · green + 0.114 · blue
    assert row[0] == round(0.587 * 200 + 0.114 * 50)
    assert row[1] == round(0.299 * 100 + 0.587 * 200 + 0.114 * 50)
    assert colours.metadata.class_names[9] == "truck"


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_pickles_are_never_read(tmp_path):
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    made.write(tmp_path, {name: pickle.dumps(Bomb()) for name in names})
    with pytest.raises(UserError, match="pickled Python version of CIFAR-10, get the binary one"):
        prepare(CorpusConfig(name="cifar10-pixels", path=str(tmp_path)))


@pytest.mark.parametrize("fold", [1, 5])
def test_the_folds_of_esc50(tmp_path, fold):
    store = prepare(config_of("esc50", tmp_path, fold=fold))
    assert store.metadata.class_names == ("dog", "rain", "clock")
    for split, own in (("test", fold), ("validation", fold % 5 + 1)):
        assert [(len(t), label) for t, label in documents(store, split)] == [
            (80 * own, label) for label in range(3)
        ]


def test_labels_stay_with_their_documents(tmp_path):
    spoken = prepare(config_of("spoken-digits", tmp_path / "a"))
    assert np.bincount(spoken.labels).tolist() == [6] * 10
    several = prepare(config_of("fsd50k", tmp_path / "b"))
    assert several.labels.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_clips_are_mixed_resampled_and_cut_to_16_bits(tmp_path):
    pytest.importorskip("soxr")
    clip = made.sound(made.tone(rate=16_000, seconds=1.0, channels=2), 16_000, "FLAC")
    made.esc10(tmp_path)
    made.write(tmp_path, {"1-0.wav": clip})
    store = prepare(CorpusConfig(name="esc", path=str(tmp_path), sample_rate=made.RATE, fold=1))
    samples, _ = documents(store, "test")[0]
    assert samples.dtype == np.int16
    assert len(samples) == made.RATE
    assert np.abs(np.fft.rfft(samples)).argmax() == 440
    # Resampling distorts the ends.
    assert np.abs(samples[1000:7000] / 32767).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"RIFF but no sound", "damaged or no audio"), (made.sound(np.zeros((80, 1))), "is silent")],
)
def test_clips_that_hold_no_sound_are_skipped_and_counted(content, why, tmp_path):
    path = made.spoken_digits(tmp_path, {"rec/3_ann_10.wav": content})
    with pytest.warns(UserWarning, match=f"skipped 1 of 60 files.*3_ann_10.wav .*{why}"):
        store = prepare(CorpusConfig(name="spoken-digits", path=str(path)))
    assert [file.name for file in store.metadata.provenance.skipped] == ["3_ann_10.wav"]
    assert len(store.spans("train")) == 19


def test_labels_without_files_and_files_without_labels_are_counted(tmp_path):
    config = config_of("fsd50k", tmp_path)
    audio = tmp_path / "FSD50K.eval_audio"
    (audio / "21.wav").rename(audio / "99.wav")
    with pytest.warns(UserWarning, match=r"21.wav has a label but is missing; .*99.wav has no lab"):
        assert len(prepare(config).spans("test")) == 1
    for path in audio.iterdir():
        path.write_bytes(b"no sound")
    with pytest.warns(UserWarning, match="skipped 3 of .*20.wav is damaged or no audio"):
        assert not len(prepare(config).spans("test"))


def test_a_class_without_examples_is_named(tmp_path):
    config = config_of("fsd50k", tmp_path)
    with (tmp_path / VOCABULARY).open("a") as file:
        file.write("3,Wind,/m/1\n")
    with pytest.warns(UserWarning, match="1 of 4 classes have no example to train on.* Wind"):
        assert prepare(config).metadata.num_classes == 4
    made.write(tmp_path, {DEV: HEAD + "10,Bark,train\n11,Bark,train\n12,Bark,val\n"})
    with pytest.raises(UserError, match="only 'Bark' to train on"):
        prepare(config)


def test_other_rules_are_another_store():
    config = {"name": "listops", **made.DRAWN}
    one, other = (prepare(CorpusConfig(seed=seed, **config)) for seed in (0, 1))
    assert one.folder != other.folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "movie-reviews", "path": "train/pos/1.txt"}, "there is no folder train/pos/1"),
        ({"name": "spoken-digits", "path": "empty"}, "no recordings named like"),
        ({"name": "movie-reviews", "path": "empty"}, "holds no reviews"),
        ({"name": "imdb", "path": "train"}, "train has no folder test .* as movie-reviews"),
        ({"name": "imdb", "path": "empty"}, r"pos and neg\), or the tables train\.tsv and"),
    ],
)
def test_folders_that_hold_nothing_of_the_kind(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("pos", "neg"):
        (tmp_path / "train" / folder).mkdir(parents=True)
        (tmp_path / "train" / folder / "1.txt").write_text("fine")
    with pytest.raises(UserError, match=message):
        prepare(CorpusConfig(**options))


def test_tokens_of_tasks():
    codec = PcmCodec(8000)
    assert not codec.same_tokens(PcmCodec(16000))
    with pytest.raises(UserError, match="a model of samples classifies"):
        codec.encode_prompt("hello")
    with pytest.raises(UserError, match="samples are classified, not written"):
        codec.write(np.zeros(1, np.int16), Path("out.wav"))
