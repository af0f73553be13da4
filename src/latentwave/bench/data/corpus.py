"""Corpora as a store reads them: documents, and the files that they come from."""

import abc
import dataclasses
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentwave.bench.data.metadata import SkippedFile, Source, file_source
from latentwave.errors import UserError

SPLITS = ("train", "validation", "test")
Label = int | tuple[int, ...]
"""The index of a class, or of all classes of a document in a multi-label corpus."""


class UnusableFileError(Exception):
    """Why a file cannot be used, in words that follow its name."""


class UnreadableDocumentError(UserError):
    """Raised while a document's pieces are read: the document is dropped, and counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """One document of a corpus."""

    pieces: Iterable[Any]  # what the codec encodes, each small enough for memory
    split: str | None = None  # None: the store is cut by the shares of the configuration
    label: Label | None = None


class Corpus(abc.ABC):
    """Documents that are the same each time they are read.

    Opening a corpus looks up its files and reads none of the large ones. Reading its documents
    completes `sources` and `skipped`.
    """

    class_names: tuple[str, ...] | None = None  # of the labels; None without labels
    multi_label: bool = False  # whether a document may have several labels

    def __init__(self) -> None:
        # Files of unchanged size and modification time are assumed to be unchanged; a corpus
        # without files is read again each time. The names are those of the sources.
        self.files: dict[str, Path] = {}
        self.sources: list[Source] = []  # equal sources mean equal documents
        self.skipped: list[SkippedFile] = []  # unreadable, or readable in part: then a source too
        self.left_out: list[SkippedFile] = []  # not of the corpus: hidden, or of another kind

    @abc.abstractmethod
    def documents(self) -> Iterator[Document]:
        """The documents in order: all of train, then of validation, then of test.

        The pieces of a document are read before the next document is asked for. They may raise
        `UnreadableDocumentError`; the corpus then continues with the next document.
        """


@dataclasses.dataclass(kw_only=True)
class Found:
    """The files of a corpus."""

    root: Path  # the file or folder that they were found in
    files: dict[str, Path]  # by their names relative to the root, in order
    splits: dict[str, str] | None = None  # of every name; None: the store is cut by shares
    tables: dict[str, Path] = dataclasses.field(default_factory=dict)  # of splits or labels
    skipped: list[SkippedFile] = dataclasses.field(default_factory=list)  # unreadable
    left_out: list[SkippedFile] = dataclasses.field(default_factory=list)  # not of the corpus


class FileCorpus(Corpus):
    """Files with one document each, or with many.

    Files that cannot be used are skipped and counted. Damaged files are read as far as possible,
    and the loss is counted.

    Args:
        found: the files.
        read: yields the pieces of a file, given its path and a list to which it adds what could
            not be read, such as "the last 3 s are damaged"; raises `UnusableFileError` if nothing
            of the file can be used.
        one_per_piece: whether every piece is a document of its own.
        labels: of a labelled corpus, by the names of its files.
        class_names: what the labels stand for.
    """

    def __init__(
        self,
        found: Found,
        read: Callable[[Path, list[str]], Iterable[Any]],
        *,
        one_per_piece: bool = False,
        labels: Mapping[str, Label] | None = None,
        class_names: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.root, self._tables = found.root, found.tables
        self._read, self._one_per_piece = read, one_per_piece
        self._splits, self._labels = found.splits or {}, labels or {}
        self.left_out = found.left_out
        ordered = list(found.files)
        if self._splits:
            ordered.sort(key=lambda name: SPLITS.index(self._splits[name]))
        self._to_read = {name: found.files[name] for name in ordered if found.files[name].is_file()}
        self.files = self._to_read | found.tables
        self._not_found = found.skipped + [
            SkippedFile(name=name, reason=f"{path} is missing")
            for name, path in found.files.items()
            if name not in self._to_read
        ]
        self.skipped = list(self._not_found)
        if labels is not None:
            self.class_names = tuple(class_names)
            self.multi_label = any(isinstance(label, tuple) for label in labels.values())
            trained = [labels[name] for name in self._to_read if self._splits[name] == "train"]
            check_classes(trained, self.class_names, str(self.root))

    def documents(self) -> Iterator[Document]:
        """The documents of each file; a UserError if no file can be used."""
        self.sources, self.skipped = [], list(self._not_found)
        for name, path in self._to_read.items():
            pieces, split = self._pieces(name, path), self._splits.get(name)
            if self._one_per_piece:
                yield from (Document(pieces=(piece,), split=split) for piece in pieces)
            else:
                yield Document(pieces=pieces, split=split, label=self._labels.get(name))
        if not self.sources:
            reason = self.skipped[0].reason if self.skipped else f"{self.root} is empty"
            if len(self.skipped) > 1:
                num_files = len(self._to_read) + len(self._not_found)
                reason = f"none of the {num_files} files in {self.root} can be used: {reason}"
            raise UserError(reason)
        self.sources += [file_source(name, path) for name, path in self._tables.items()]

    def _pieces(self, name: str, path: Path) -> Iterator[Any]:
        lost: list[str] = []
        has_begun, fault = False, ""
        try:
            for piece in self._read(path, lost):
                has_begun = True
                yield piece
        except UnusableFileError as error:
            fault = str(error)
        except OSError as error:
            fault = f"cannot be read ({error.strerror or error})"
        if fault and not (self._one_per_piece and has_begun):
            self.skipped.append(SkippedFile(name=name, reason=f"{path} {fault}"))
            if self._one_per_piece:
                return
            raise UnreadableDocumentError(self.skipped[-1].reason)
        self.sources.append(file_source(name, path))
        if fault or lost:
            reason = "; ".join([*lost, fault] if fault else lost)
            self.skipped.append(SkippedFile(name=name, reason=f"{path}: {reason}"))


def check_classes(labels: Iterable[Label], names: Sequence[str], where: str) -> None:
    """Refuse fewer than two classes to train on; warn of classes without training examples."""
    seen = {index for each in labels for index in (each if isinstance(each, tuple) else (each,))}
    if len(seen) < 2:
        only = f"only {names[min(seen)]!r}" if seen else "nothing"
        raise UserError(f"there is {only} to train on, two classes are needed: check {where}")
    absent = [name for index, name in enumerate(names) if index not in seen]
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(names)} classes have no example to train on; the first: "
            f"{absent[0]}",
            stacklevel=2,
        )
