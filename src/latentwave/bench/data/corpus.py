"""What a corpus is to the store: documents, and where they were read from."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.metadata import SkippedFile, Source, file_source
from latentwave.errors import UserError

SPLITS = ("train", "validation", "test")


class UnusableFileError(Exception):
    """Why a file cannot be used, in words that follow its name."""


class UnreadableDocumentError(UserError):
    """Raised by a document's pieces: the document is taken back, counted, and passed over."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """One document of a corpus.

    Attributes:
        pieces: what the codec encodes, each small enough for memory.
        split: "train", "validation" or "test" where the corpus comes with splits; None: the store
            is cut by the shares of the configuration.
        label: index of its class, or of several for multi-label corpora; None without classes.
    """

    pieces: Iterable[Any]
    split: str | None = None
    label: int | tuple[int, ...] | None = None


class Corpus(abc.ABC):
    """Documents that read the same at every pass.

    Opening a corpus looks files up and reads none of the large ones. Reading its documents
    completes `sources` and `skipped`.

    Attributes:
        files: what is read, by the names that `sources` use. Files that keep their size and time
            of change are taken to be the same; a corpus without files is read again each time.
        sources: what the documents were read from; equal sources mean equal documents.
        skipped: files that could not be read, or not as a whole; the latter are sources too.
        left_out: files that were found and are none of the corpus: hidden, or of another kind.
        class_names: of the labels, for a labelled corpus.
        multi_label: whether a document may have several labels.
    """

    class_names: tuple[str, ...] | None = None
    multi_label: bool = False

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.sources: list[Source] = []
        self.skipped: list[SkippedFile] = []
        self.left_out: list[SkippedFile] = []

    @abc.abstractmethod
    def documents(self) -> Iterator[Document]:
        """The documents in order: all of one split before the next, train, validation, test.

        The pieces of a document are read before the next document is asked for. They may raise
        `UnreadableDocumentError`, after which the corpus goes on with the next document.
        """

    def read_through(self) -> None:
        """Read everything once, so that `sources` and `skipped` are complete."""
        for document in self.documents():
            try:
                for _ in document.pieces:
                    pass
            except UnreadableDocumentError:
                continue


@dataclasses.dataclass(kw_only=True)
class Found:
    """The files of a corpus.

    Attributes:
        root: the file or folder that they were found in.
        files: by their names relative to the root, in order.
        splits: the split of every name; None: the store is cut by shares.
        skipped: what could not be read: broken links, loops of links, pipes, closed folders.
        left_out: what is hidden, or of another kind.
    """

    root: Path
    files: dict[str, Path]
    splits: dict[str, str] | None = None
    skipped: list[SkippedFile] = dataclasses.field(default_factory=list)
    left_out: list[SkippedFile] = dataclasses.field(default_factory=list)


class FileCorpus(Corpus):
    """Files with one document each, unless a subclass finds more in them.

    A file that cannot be used is counted and passed over. Of one that breaks off, or is damaged
    in places, the readable part is taken and the loss is counted.

    Args:
        found: the files.
    """

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.root = found.root
        ordered, splits = list(found.files), found.splits
        if splits is not None:
            ordered.sort(key=lambda name: SPLITS.index(splits[name]))
        self.files = {name: found.files[name] for name in ordered if found.files[name].is_file()}
        self.left_out = found.left_out
        self._splits = splits
        self._not_found = [
            *found.skipped,
            *(
                SkippedFile(name=name, reason=f"{path} is missing")
                for name, path in found.files.items()
                if name not in self.files
            ),
        ]
        self._seen: dict[str, Source | SkippedFile] = {}

    def documents(self) -> Iterator[Document]:
        """The documents of each file, those of one split before those of the next.

        Raises:
            UserError: if no file can be used, or one has changed since an earlier pass.
        """
        self.sources, self.skipped = [], list(self._not_found)
        unusable = self._unusable()
        for name in self.files:
            if name in unusable:
                self.skipped.append(unusable[name])
            else:
                yield from self._documents_of(name, self._splits[name] if self._splits else None)
        if not self.sources:
            first = self.skipped[0].reason if self.skipped else f"{self.root} is empty"
            if len(self.skipped) > 1:
                num_files = len(self.files) + len(self._not_found)
                first = f"none of the {num_files} files in {self.root} can be used: {first}"
            raise UserError(first)

    def _unusable(self) -> dict[str, SkippedFile]:
        """What an earlier pass could not use."""
        return {name: seen for name, seen in self._seen.items() if isinstance(seen, SkippedFile)}

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        yield Document(pieces=self._pieces(name), split=split)

    @abc.abstractmethod
    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[Any]:
        """Read the pieces of a file.

        Args:
            name: of the file.
            path: of the file.
            lost: takes in words for what could not be read, such as "the last 3 s are damaged".

        Raises:
            UnusableFileError: if nothing of it can be used.
        """

    def _pieces(self, name: str) -> Iterator[Any]:
        lost: list[str] = []
        try:
            yield from self._read(name, self.files[name], lost)
            self._finish(name, lost)
        except UnusableFileError as error:
            raise self._skip(name, str(error)) from error
        except OSError as error:
            raise self._skip(name, f"cannot be read ({error.strerror or error})") from error

    def _skip(self, name: str, words: str) -> UnreadableDocumentError:
        skipped = SkippedFile(name=name, reason=f"{self.files[name]} {words}")
        self._seen[name] = skipped
        self.skipped.append(skipped)
        return UnreadableDocumentError(skipped.reason)

    def _finish(self, name: str, lost: list[str]) -> None:
        """Note that a file was read, and what of it was lost."""
        path = self.files[name]
        source = file_source(name, path)
        if self._seen.setdefault(name, source) != source:
            raise UserError(
                f"{path} changed while it was being read: prepare the corpus again when the file "
                "is complete"
            )
        self.sources.append(source)
        if lost:
            self.skipped.append(SkippedFile(name=name, reason=f"{path}: {'; '.join(lost)}"))
