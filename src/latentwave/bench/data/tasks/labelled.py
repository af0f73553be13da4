"""Labelled corpora whose files hold many examples each, or that are drawn by rules."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, check_classes
from latentwave.bench.data.metadata import Source, file_source
from latentwave.bench.data.splits import deal_examples
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True)
class Example:
    """One document, its label and its split."""

    piece: Any  # what the codec encodes
    label: int  # index of its class
    split: str = "train"


class LabelledRows(Corpus):
    """A labelled corpus, one document per example.

    Args:
        read: gives the examples, train before validation before test; the same at every call.
        class_names: what the labels stand for.
        files: that are read, by name.
        validation: share of the training examples to set apart, at random but always the same
            ones, for a corpus that comes without a validation split.
        test: the same for a corpus that comes without a test split.
        rules: what a corpus without files is drawn by; equal rules, equal documents.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Example]],
        class_names: Collection[str],
        files: Mapping[str, Path] | None = None,
        *,
        validation: float = 0.0,
        test: float = 0.0,
        rules: str = "",
    ) -> None:
        super().__init__()
        self.class_names = names = tuple(class_names)
        self.files = dict(files or {})
        self._read, self._shares, self._num_classes = read, (validation, test), len(names)
        if rules:
            digest = hashlib.sha256(rules.encode()).hexdigest()
            self.sources = [Source(name="rules", num_bytes=0, sha256=digest)]

    def read_through(self) -> None:
        """Read everything once; rules say all that there is to know."""
        if self.files:
            super().read_through()

    def documents(self) -> Iterator[Document]:
        """One per example.

        Raises:
            UserError: if a label stands for no class, or there are fewer than two classes to
                train on.
        """
        seen, where = set[int](), ", ".join(self.files) or "the rules"
        for example in self._dealt():
            if not 0 <= example.label < self._num_classes:
                raise UserError(
                    f"{where}: there is a label {example.label}, but the classes are 0 to "
                    f"{self._num_classes - 1}"
                )
            if example.split == "train":
                seen.add(example.label)
            yield Document(pieces=[example.piece], split=example.split, label=example.label)
        check_classes(seen, self.class_names or (), where)
        if self.files:
            self.sources = [file_source(name, path) for name, path in self.files.items()]

    def _dealt(self) -> Iterator[Example]:
        """The examples with their final splits, in order."""
        if not any(self._shares):
            yield from self._read()
            return
        splits = deal_examples(sum(each.split == "train" for each in self._read()), *self._shares)
        for split in SPLITS:
            for index, example in enumerate(self._read()):
                own = splits[index] if example.split == "train" else example.split
                if own == split:
                    yield dataclasses.replace(example, split=split)
