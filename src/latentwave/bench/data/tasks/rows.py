"""Labelled corpora whose files hold many examples each, or that are drawn by rules."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, check_classes
from latentwave.bench.data.metadata import Source, file_source
from latentwave.bench.data.splits import deal_examples
from latentwave.errors import UserError


class LabelledRows(Corpus):
    """A labelled corpus whose files hold many examples each, or that is drawn by rules.

    Args:
        read: gives the examples, train before validation before test; the same at every call.
        class_names: what the labels stand for.
        files: that are read, of different names.
        shares: of the training examples to set apart for validation and test, see `deal_examples`.
        rules: what a corpus without files is drawn by; equal rules, equal documents.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Document]],
        class_names: Collection[str],
        files: Iterable[Path] = (),
        shares: tuple[float, float] = (0.0, 0.0),
        rules: str = "",
    ) -> None:
        super().__init__()
        self.class_names = names = tuple(class_names)
        self.files = {path.name: path for path in files}
        self._read, self._shares, self._num_classes = read, shares, len(names)
        if rules:
            digest = hashlib.sha256(rules.encode()).hexdigest()
            self.sources = [Source(name="rules", num_bytes=0, sha256=digest)]

    def documents(self) -> Iterator[Document]:
        """One per example."""
        seen, where = set[Any](), ", ".join(self.files) or "the rules"
        for document in self._dealt():
            if document.label not in range(self._num_classes):
                raise UserError(
                    f"{where}: there is a label {document.label}, but the classes are 0 to "
                    f"{self._num_classes - 1}"
                )
            if document.split == "train":
                seen.add(document.label)
            yield document
        check_classes(seen, self.class_names or (), where)
        if self.files:
            self.sources = [file_source(name, path) for name, path in self.files.items()]

    def _dealt(self) -> Iterator[Document]:
        """The examples with their final splits, in order."""
        if not any(self._shares):
            yield from self._read()
            return
        found = list(self._read())
        splits = deal_examples(sum(each.split == "train" for each in found), *self._shares)
        splits += [str(each.split) for each in found[len(splits) :]]
        for split in SPLITS:
            for example, own in zip(found, splits, strict=True):
                if own == split:
                    yield dataclasses.replace(example, split=split)
