"""Splits by shares of characters, the same for every tokenizer."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.text.words import whole_words


class CharacterShares(Corpus):
    """A text corpus whose documents name their split, cut by shares of its characters.

    A tokenizer that is trained on the training text must know that text before there are tokens.
    The borders are those of the same text with one token per character. Pieces end where words do.

    Args:
        corpus: of text; where its documents name splits these stand, and a validation split that
            is missing is cut off the end of the training text.
        validation: share of the characters.
        test: share of the characters.
    """

    def __init__(self, corpus: Corpus, validation: float, test: float) -> None:
        super().__init__()
        self._corpus = corpus
        self._shares = (validation, test)
        self._plan: list[tuple[str, int]] | None = None
        self.files = corpus.files

    def documents(self) -> Iterator[Document]:
        """The documents; one that a border cuts becomes two."""
        if self._plan is None:
            self._plan = self._make_plan()
        plan = list(self._plan)
        for document in self._corpus.documents():
            text = _Reader(whole_words(document.pieces))
            while not text.is_at_end():
                while len(plan) > 1 and plan[0][1] == 0:
                    plan.pop(0)
                # The last split takes what is left.
                split, room = plan[0] if len(plan) > 1 else (plan[0][0], sys.maxsize)
                before = text.num_characters
                yield Document(pieces=text.take(room), split=split)
                plan[0] = (split, room - (text.num_characters - before))
        self.sources, self.skipped = self._corpus.sources, self._corpus.skipped

    def _make_plan(self) -> list[tuple[str, int]]:
        """How many characters belong to each split in turn."""
        found: dict[str | None, int] = {}
        for document in self._corpus.documents():
            try:
                number = sum(len(piece) for piece in document.pieces)
            except UnreadableDocumentError:
                continue
            found[document.split] = found.get(document.split, 0) + number
        validation, test = self._shares
        if None in found:
            total = found[None]
            sizes = {"validation": round(total * validation), "test": round(total * test)}
            sizes["train"] = total - sum(sizes.values())
        else:
            sizes = {name: number for name, number in found.items() if name is not None}
            if "validation" not in sizes and "train" in sizes:
                sizes["validation"] = round(sizes["train"] * validation)
                sizes["train"] -= sizes["validation"]
        return [(name, sizes.get(name, 0)) for name in SPLITS]


class _Reader:
    """Takes a text of many pieces in parts of given lengths."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._rest = ""
        self.num_characters = 0

    def is_at_end(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._rest = piece
        return False

    def take(self, num_characters: int) -> Iterator[str]:
        while num_characters > 0 and not self.is_at_end():
            part, self._rest = self._rest[:num_characters], self._rest[num_characters:]
            num_characters -= len(part)
            self.num_characters += len(part)
            yield part
