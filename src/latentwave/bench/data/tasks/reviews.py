"""Film reviews with a sentiment, as bytes: text classification of the Long Range Arena."""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from latentwave.bench.data.corpus import SPLITS, Corpus, Document
from latentwave.bench.data.tasks.shares import deal_splits
from latentwave.bench.data.tasks.trees import FileTree, file_source
from latentwave.errors import UserError

CLASS_NAMES = ("negative", "positive")
_FOLDERS = {"neg": 0, "pos": 1}


@dataclasses.dataclass(frozen=True)
class _Review:
    name: str
    split: str
    label: int


class ReviewFolders(Corpus):
    """One review per file under folders `pos` and `neg`, in a folder or a zip archive.

    With folders `train` and `test` above them (aclImdb) the test reviews are the published ones
    and a share of the training reviews is dealt to validation; without them (movie_reviews) both
    shares are dealt. Other files, such as the reviews without a label of aclImdb, are left out.

    Args:
        path: the folder or archive.
        validation: share of the training reviews.
        test: share of all reviews, where there is no test folder.

    Raises:
        UserError: if no review is found, or the training reviews have one sentiment only.
    """

    def __init__(self, path: Path, validation: float, test: float) -> None:
        super().__init__()
        self._tree = FileTree(path)
        found: list[tuple[str, str | None, int]] = []
        for name in self._tree.names:
            folders = PurePosixPath(name).parts[:-1]
            if name.endswith(".txt") and folders and folders[-1] in _FOLDERS:
                above = folders[-2] if len(folders) > 1 else ""
                split = above if above in ("train", "test") else None
                found.append((name, split, _FOLDERS[folders[-1]]))
        if not found:
            raise UserError(
                f"{path} holds no reviews: expected text files in folders named pos and neg"
            )
        if any(split is not None for _, split, _ in found):
            found = [review for review in found if review[1] is not None]
            test = 0.0
        dealt = iter(_deal([split for _, split, _ in found], validation, test))
        self._reviews = [_Review(name, next(dealt), label) for name, _, label in found]
        _check_both(path, [r.label for r in self._reviews if r.split == "train"])
        self.files = self._tree.files(review.name for review in self._reviews)
        self.class_names = CLASS_NAMES

    def documents(self) -> Iterator[Document]:
        """One review each, as its bytes."""
        for split in SPLITS:
            for review in self._reviews:
                if review.split == split:
                    content = self._tree.read(review.name)
                    yield Document(pieces=[content], split=split, label=review.label)
        self.sources = self._tree.sources


class ReviewTables(Corpus):
    """The IMDB reviews as tables: label (0 or 1), rating, number and text on a line.

    Args:
        folder: holds train.tsv and test.tsv, or train.tsv.gz and test.tsv.gz.
        validation: share of the training reviews.

    Raises:
        UserError: if a table is missing.
    """

    def __init__(self, folder: Path, validation: float) -> None:
        super().__init__()
        self._tables = {split: _find_table(folder, split) for split in ("train", "test")}
        self._validation = validation
        self.files = {path.name: path for path in self._tables.values()}
        self.class_names = CLASS_NAMES

    def documents(self) -> Iterator[Document]:
        """One line each, the text as its bytes.

        Raises:
            UserError: if a table is damaged, or a line is no labelled review.
        """
        table = self._tables["train"]
        labels = [label for label, _ in _read_table(table)]
        _check_both(table, labels)
        splits = deal_splits(len(labels), self._validation, 0.0)
        for split in ("train", "validation"):
            for own, (label, text) in zip(splits, _read_table(table), strict=True):
                if own == split:
                    yield Document(pieces=[text], split=split, label=label)
        for label, text in _read_table(self._tables["test"]):
            yield Document(pieces=[text], split="test", label=label)
        self.sources = [file_source(path) for path in self._tables.values()]


def _deal(given: list[str | None], validation: float, test: float) -> list[str]:
    """The splits, those that are not given dealt by shares; "train" counts as not given."""
    free = [index for index, split in enumerate(given) if split in (None, "train")]
    splits = [split or "train" for split in given]
    for index, split in zip(free, deal_splits(len(free), validation, test), strict=True):
        splits[index] = split
    return splits


def _find_table(folder: Path, split: str) -> Path:
    for name in (f"{split}.tsv", f"{split}.tsv.gz"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds neither {split}.tsv nor {split}.tsv.gz")


def _read_table(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                fields = line.rstrip(b"\r\n").split(b"\t", 3)
                if len(fields) != 4 or fields[0] not in (b"0", b"1"):
                    raise UserError(
                        f"{path}, line {number}: expected label (0 or 1), rating, number and text "
                        f"between tabs, got {line[:40]!r}"
                    )
                yield int(fields[0]), fields[3]
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _check_both(path: Path, labels: list[int]) -> None:
    if len(set(labels)) < 2:
        only = "no reviews" if not labels else f"{CLASS_NAMES[labels[0]]} reviews only"
        raise UserError(f"{path}: there are {only} to train on, both sentiments are needed")
