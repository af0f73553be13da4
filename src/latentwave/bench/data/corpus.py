"""What a corpus is to the store."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.metadata import SkippedFile, Source
from latentwave.errors import UserError

SPLITS = ("train", "validation", "test")


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

    To open a corpus looks files up and reads none of the large ones. Reading its documents fills
    in what stands under `sources` and `skipped`.

    Attributes:
        files: what is read, by the names that `sources` use. Files that keep their size and time
            of change are taken to be the same; a corpus without files is read again each time.
        sources: what the documents were read from; equal sources mean equal documents.
            Complete when `documents` has been read to its end.
        skipped: files that were found and could not be read, complete at the same time.
        class_names: of the labels, for a labelled corpus.
        multi_label: whether a document may have several labels.
    """

    class_names: tuple[str, ...] | None = None
    multi_label: bool = False

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.sources: list[Source] = []
        self.skipped: list[SkippedFile] = []

    @property
    def num_skipped_files(self) -> int:
        """Files that were found and could not be read."""
        return len(self.skipped)

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
