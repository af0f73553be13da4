"""What a corpus is to the store."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator

from latentwave.data.metadata import Source


class Corpus(abc.ABC):
    """Documents that read the same at every pass.

    Attributes:
        sources: what the text is read from; equal sources mean equal text.
        num_skipped_files: files that were found, but are not text.
    """

    sources: list[Source]
    num_skipped_files: int

    @abc.abstractmethod
    def characters(self) -> str:
        """The distinct characters of the corpus, sorted by Unicode number."""

    @abc.abstractmethod
    def documents(self) -> Iterator[Iterable[str]]:
        """The documents in order, each in pieces that are small enough for memory."""
