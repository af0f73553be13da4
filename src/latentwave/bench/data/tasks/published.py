"""Reads published labelled sets in their own layouts: reviews, images and sound clips."""

import functools
import itertools
import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.audio.files import SUFFIXES, read_recording, soundfile
from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import Corpus, Document, FileCorpus, Label, UnusableFileError
from latentwave.bench.data.files import (
    PACKED,
    corpus_root,
    find_files,
    open_unpacked,
    read_csv,
    reading,
)
from latentwave.bench.data.folders import DAMAGED
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.splits import deal_examples
from latentwave.bench.data.tasks.listops import DIGITS
from latentwave.bench.data.tasks.rows import LabelledRows
from latentwave.errors import UserError

SENTIMENTS = ("negative", "positive")
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# Weights of the luma of ITU-R BT.601, which make grey of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114])
_RECORD_BYTES = 1 + 3 * 1024
_MOST_BYTES = 1 << 30
_SPOKEN = re.compile(r"(\d)_[A-Za-z]+_(\d{1,9})\.wav")
_REVIEWS = "reviews (text files in folders named pos and neg)"
_Row = tuple[str, str, Label]  # file, split, label


def _find_file(folder: Path, name: str) -> Path | None:
    """A file of a folder, plain or compressed; None if it is missing."""
    candidates = (folder / f"{name}{suffix}" for suffix in ("", *PACKED))
    return next((path for path in candidates if path.is_file()), None)


def _require_files(folder: Path, names: list[str], hint: str) -> list[Path]:
    found = [path for name in names if (path := _find_file(folder, name))]
    if len(found) < len(names):
        missing = [name for name in names if not _find_file(folder, name)]
        raise UserError(f"{folder} has no {', '.join(missing)}: {hint}")
    return found


def imdb(config: CorpusConfig) -> Corpus:
    """The IMDB reviews as bytes (Maas et al., 2011), from the folder aclImdb or from two tables.

    A line of train.tsv or test.tsv is the label (0 or 1), the rating, an id and the text, separated
    by tabs.
    """
    root = corpus_root(config)
    if _find_file(root, "train.tsv") is None and _find_file(root, "test.tsv") is None:
        what = f"{_REVIEWS}, or the tables train.tsv and test.tsv"
        return reviews(config, what, needs_test=True)
    paths = _require_files(root, ["train.tsv", "test.tsv"], "name the folder of the two tables")

    def examples() -> Iterator[Document]:
        for split, path in zip(("train", "test"), paths, strict=True):
            with reading(path) as file:
                for number, line in enumerate(file, 1):
                    label, *others = line.rstrip(b"\r\n").split(b"\t", 3)
                    if label not in (b"0", b"1") or len(others) < 3 or not others[-1]:
                        raise UserError(
                            f"{path}, line {number}: expected a label of 0 or 1, the rating, an "
                            f"id and the text, separated by tabs, got {line[:40]!r}"
                        )
                    yield Document(pieces=[others[-1]], label=int(label), split=split)

    return LabelledRows(examples, SENTIMENTS, paths, (config.validation, 0.0))


def reviews(config: CorpusConfig, what: str = _REVIEWS, needs_test: bool = False) -> Corpus:
    """Film reviews as bytes: text files in folders named `pos` and `neg`.

    The folder `test`, if there is one, is the test split, and `train` is divided by the share for
    validation; otherwise both shares are drawn from all reviews.
    """
    root = corpus_root(config)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: check the path")
    found = find_files(root, (".txt",), what)
    labels: dict[str, Label] = {}
    published: dict[str, str] = {}
    for name in found.files:
        *above, folder, _ = ("", "", *PurePosixPath(name).parts)
        if folder in ("neg", "pos") and "__MACOSX" not in above:
            labels[name] = int(folder == "pos")
            if above[-1] in ("train", "test"):
                published[name] = above[-1]
    if needs_test and "test" not in published.values():
        raise UserError(
            f"{root} has no folder test with folders pos and neg in it, so it is not IMDB: name "
            "the folder aclImdb, or read reviews without a test of their own as movie-reviews"
        )
    labels = {name: labels[name] for name in published or labels}
    free = [name for name in labels if published.get(name) != "test"]
    shares = (config.validation, 0.0 if published else config.test)
    found.splits = dict.fromkeys(labels, "test")
    found.splits |= zip(free, deal_examples(len(free), *shares), strict=True)
    found.files = {name: found.files[name] for name in labels}
    return FileCorpus(found, _read_bytes, labels=labels, class_names=SENTIMENTS)


def _read_bytes(path: Path, _: list[str]) -> Iterator[bytes]:
    try:
        with open_unpacked(path) as file:
            while chunk := file.read(1 << 20):
                yield chunk
    except DAMAGED as error:
        raise UnusableFileError(f"is damaged ({error})") from error


def mnist(config: CorpusConfig) -> LabelledRows:
    """MNIST, or a set in its format, from {train,t10k}-{images-idx3,labels-idx1}-ubyte.

    Without the training files, the test files are divided by shares: a smaller stand-in for the
    published task.
    """
    parts, folder = {}, corpus_root(config)
    for split, part in (("train", "train"), ("test", "t10k")):
        names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
        if split == "test" or any(_find_file(folder, name) for name in names):
            parts[split] = _require_files(folder, names, "name the folder of the MNIST files")
    if "train" not in parts:
        parts = {"train": parts["test"]}

    def examples() -> Iterator[Document]:
        for split, (images, labels) in parts.items():
            pixels, classes = _read_idx(images), _read_idx(labels)
            if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
                raise UserError(
                    f"{images} has images of shape {pixels.shape}, but {labels.name} has labels "
                    f"of shape {classes.shape}"
                )
            for image, label in zip(pixels, classes, strict=True):
                yield Document(pieces=[image.reshape(-1)], label=int(label), split=split)

    files = itertools.chain.from_iterable(parts.values())
    shares = (config.validation, 0.0 if "test" in parts else config.test)
    return LabelledRows(examples, DIGITS, files, shares)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes: two zero bytes, type 8, the number of axes, their sizes, the values."""
    with reading(path) as file:
        start = file.read(4)
        if len(start) < 4 or start[:3] != b"\0\0\x08":
            raise UserError(f"{path} is not an idx file of bytes: it starts with {start!r}")
        shape = np.frombuffer(file.read(4 * start[3]), dtype=">u4").tolist()
        content = file.read(min(math.prod(shape), _MOST_BYTES) + 1)
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def cifar10(config: CorpusConfig) -> LabelledRows:
    """CIFAR-10 in grey, as in the Long Range Arena, from data_batch_1.bin … 5 and test_batch.bin.

    A record is one label byte and 1,024 bytes each of red, green and blue. The pickled Python
    version is not read, since unpickling runs code.
    """
    folder, hint = corpus_root(config), "name the folder cifar-10-batches-bin"
    if (folder / "data_batch_1").is_file():
        hint = "this is the pickled Python version of CIFAR-10, get the binary one"
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    paths = _require_files(folder, names, hint)

    def examples() -> Iterator[Document]:
        for path in paths:
            split = "test" if path is paths[-1] else "train"
            with reading(path) as file:
                while record := file.read(_RECORD_BYTES):
                    if len(record) < _RECORD_BYTES:
                        raise UserError(
                            f"{path} is damaged: its size is not a multiple of {_RECORD_BYTES:,}"
                        )
                    planes = np.frombuffer(record[1:], dtype=np.uint8).reshape(3, -1)
                    grey = np.round(_LUMA @ planes).astype(np.uint8)
                    yield Document(pieces=[grey], label=record[0], split=split)

    return LabelledRows(examples, CIFAR10, paths, (config.validation, 0.0))


def small_digits(config: CorpusConfig) -> LabelledRows:
    """The 1,797 digits of 8×8 pixels that come with scikit-learn: a small stand-in for MNIST."""
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            "the corpus digits-pixels needs scikit-learn: pip install scikit-learn"
        ) from error

    def examples() -> Iterator[Document]:
        pixels, classes = load_digits(return_X_y=True)
        for image, label in zip(np.round(pixels * (255 / 16)), classes, strict=True):
            yield Document(pieces=[image.astype(np.uint8)], label=int(label), split="train")

    file = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    return LabelledRows(examples, DIGITS, [file], (config.validation, config.test))


def fsd50k(config: CorpusConfig) -> FileCorpus:
    """FSD50K: 200 classes, several per clip, with its published splits.

    Its folder holds FSD50K.ground_truth, FSD50K.dev_audio and FSD50K.eval_audio.
    """
    root = corpus_root(config)
    truth = root / "FSD50K.ground_truth"
    tables = [truth / f"{name}.csv" for name in ("vocabulary", "dev", "eval")]
    vocabulary = read_csv(tables[0], ["index", "name", "mid"], heading=False)
    names = [row["name"] for row in vocabulary]
    classes = {name: index for index, name in enumerate(names)}
    if len(classes) < len(names):
        raise UserError(f"{tables[0]} names a class twice")
    rows: list[_Row] = []
    for part, table in zip(("dev", "eval"), tables[1:], strict=True):
        columns = ["fname", "labels", *(["split"] if part == "dev" else [])]
        for row in read_csv(table, columns):
            split = {"train": "train", "val": "validation"}.get(row.get("split", ""), "test")
            labels = row["labels"].split(",")
            unknown = [name for name in labels if name not in classes]
            if unknown or (part == "dev") != (split != "test"):
                what = f"class {unknown[0]!r}" if unknown else f"split {row.get('split')!r}"
                raise UserError(f"{table}: clip {row['fname']!r} has an unknown {what}")
            indices = tuple(sorted({classes[name] for name in labels}))
            rows.append((f"FSD50K.{part}_audio/{row['fname']}.wav", split, indices))
    return _clips(root, rows, names, config.rate, tables)


def esc(config: CorpusConfig) -> FileCorpus:
    """ESC-50, or ESC-10, with its five published folds.

    One fold is the test, the next one (1 after 5) the validation, the other three are for training;
    the published figure is the mean over the five choices of `fold`. The folder holds
    meta/esc50.csv and audio/, or labels.csv (file, fold, label, class) beside the files.
    """
    root = corpus_root(config)
    fold = 5 if config.fold is None else config.fold
    above, columns = "audio/", ["filename", "target", "category", "fold"]
    table = _find_file(root / "meta", "esc50.csv")
    if table is None:
        above, columns = "", ["file", "label", "class", "fold"]
        table = _find_file(root, "labels.csv")
    if table is None:
        raise UserError(f"{root} holds neither meta/esc50.csv nor labels.csv")
    splits = dict.fromkeys("12345", "train") | {str(fold): "test", str(fold % 5 + 1): "validation"}
    found: list[tuple[str, str, str]] = []
    names: dict[str, str] = {}
    for row in read_csv(table, columns):
        file, label, name, number = (row[column] for column in columns)
        is_known = number in splits and re.fullmatch(r"\d{1,9}", label)
        if not is_known or names.setdefault(label, name) != name:
            raise UserError(
                f"{table}: {file!r} has fold {number!r}, label {label!r} and class {name!r}, but "
                "folds are 1 to 5, and each label is the whole number of one class"
            )
        found.append((above + file, splits[number], label))
    # The ten classes of ESC-10 have scattered numbers in the table of ESC-50.
    order = sorted(names, key=int)
    rows = [(name, split, order.index(label)) for name, split, label in found]
    return _clips(root, rows, [names[label] for label in order], config.rate, [table])


def spoken_digits(config: CorpusConfig) -> FileCorpus:
    """The free spoken digits: DIGIT_SPEAKER_TAKE.wav, in any sub-folder.

    Takes 0 to 4 of every speaker and digit are the published test; takes 5 to 9 are the validation.
    """
    rows, root = [], corpus_root(config)
    for name in find_files(root, (".wav",), "recordings named like 7_jackson_32.wav").files:
        match = _SPOKEN.fullmatch(name.rpartition("/")[2])
        if match:
            take = int(match[2])
            split = "test" if take < 5 else "validation" if take < 10 else "train"
            rows.append((name, split, int(match[1])))
    if not rows:
        raise UserError(f"{root} holds no recordings named like 7_jackson_32.wav")
    return _clips(root, rows, DIGITS, config.rate)


def _clips(
    root: Path,
    rows: Sequence[_Row],
    class_names: Collection[str],
    sample_rate: int,
    tables: Sequence[Path] = (),
) -> FileCorpus:
    """Sound files with the rows of a table; files and rows without the other are skipped."""
    soundfile()
    found = find_files(root, SUFFIXES, "sound files")
    splits = {name: split for name, split, _ in rows if name in found.files}
    for split in ("train", "validation"):
        if split not in splits.values():
            count = sum(row[1] == split for row in rows)
            raise UserError(f"{root} holds none of its {count} labelled {split} clips")
    labels = {name: label for name, _, label in rows}
    faults = {name: "has a label but is missing" for name in labels if name not in found.files}
    faults |= {name: "has no label" for name in found.files if name not in labels}
    found.skipped += [SkippedFile(name=name, reason=f"{name} {faults[name]}") for name in faults]
    found.splits = splits
    found.files = {name: found.files[name] for name in splits}
    found.tables = {path.relative_to(root).as_posix(): path for path in tables}
    found.left_out = [file for file in found.left_out if file.name not in found.tables]
    read = functools.partial(read_recording, sample_rate)
    return FileCorpus(found, read, labels=labels, class_names=class_names)
