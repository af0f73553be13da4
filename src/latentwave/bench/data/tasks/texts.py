"""Labelled texts as bytes: reviews with a sentiment, and pairs that belong together or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from latentwave.bench.data.corpus import SPLITS, Corpus
from latentwave.bench.data.files import PACKED, find_files
from latentwave.bench.data.tasks.labelled import (
    Example,
    LabelledFiles,
    LabelledRows,
    deal_splits,
)
from latentwave.bench.data.tasks.tables import find_file, read_tsv, require_files
from latentwave.errors import UserError

SENTIMENTS = ("negative", "positive")
RELATIONS = ("unrelated", "related")
_FOLDERS = {"neg": 0, "pos": 1}
_LABELS = {b"0": 0, b"0.0": 0, b"1": 1, b"1.0": 1}
_CHUNK_BYTES = 1 << 20
_TABLES = (".tsv", *PACKED)


def reviews(root: Path, validation: float, test: float) -> Corpus:
    """Film reviews by their bytes, as in text classification of the Long Range Arena.

    Either text files in folders `pos` and `neg`, with folders `train` and `test` above them
    (aclImdb) or without (movie_reviews), or tables train.tsv and test.tsv with label, rating,
    number and text on a line. A published test split stays the test.

    Raises:
        UserError: if there are no reviews; while they are read, for a line that is none.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: check the path")
    if find_file(root, "train.tsv"):
        paths = require_files(root, ["train.tsv", "test.tsv"], "name the folder that holds both")

        def lines() -> Iterator[Example]:
            for split, path in zip(("train", "test"), paths, strict=True):
                for place, (label, _, _, text) in read_tsv(path, 4):
                    yield Example(text, _label(label, place), split)

        files = {path.name: path for path in paths}
        return LabelledRows(lines, SENTIMENTS, files, validation=validation)
    found = find_files(root, (".txt",), "reviews (text files in folders named pos and neg)")
    labels: dict[str, int] = {}
    published: dict[str, str] = {}
    for name in found.files:
        *above, folder, _ = ("", "", *PurePosixPath(name).parts)
        if folder in _FOLDERS and "__MACOSX" not in above:
            labels[name] = _FOLDERS[folder]
            if above[-1] in ("train", "test"):
                published[name] = above[-1]
    if published:
        labels = {name: labels[name] for name in published}
        test = 0.0
    free = [name for name in labels if published.get(name) != "test"]
    dealt = dict(zip(free, deal_splits(len(free), validation, test), strict=True))
    splits = published | dealt
    found.files = {name: found.files[name] for name in labels}
    found.splits = {name: splits[name] for name in labels}
    corpus = _Reviews(found)
    corpus.set_labels(labels, SENTIMENTS)
    return corpus


class _Reviews(LabelledFiles):
    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def paper_pairs(folder: Path) -> LabelledRows:
    """The ACL Anthology pairs of the Long Range Arena: label, two numbers, two texts on a line.

    The two texts become one document with a separator between them, while the Long Range Arena
    encodes each by itself and compares the two codes.

    Raises:
        UserError: unless there is one file each *.train.tsv, *.eval.tsv and *.test.tsv; while
            pairs are read, for a line that is none.
    """
    paths = []
    for end in ("train", "eval", "test"):
        found = [path for path in folder.glob(f"*.{end}.tsv*") if path.suffix in _TABLES]
        if len(found) != 1:
            raise UserError(
                f"{folder} holds {len(found)} files *.{end}.tsv, expected one: name the folder "
                "of the pairs, e.g. with new_aan_pairs.train.tsv, .eval.tsv and .test.tsv"
            )
        paths += found

    def examples() -> Iterator[Example]:
        for split, path in zip(SPLITS, paths, strict=True):
            for place, (label, _, _, first, second) in read_tsv(path, 5):
                yield Example((first, second), _label(label, place), split)

    return LabelledRows(examples, RELATIONS, {path.name: path for path in paths})


def _label(cell: bytes, place: str) -> int:
    if cell not in _LABELS:
        raise UserError(f"{place}: expected label (0 or 1), got {cell[:40]!r}")
    return _LABELS[cell]
