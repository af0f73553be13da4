"""Labelled corpora with many examples per file, or with examples drawn by rules."""

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
    """A labelled corpus with many examples per file, or with examples drawn by rules.

    Args:
        read: yields the examples, the same at every call: train, then validation, then test.
        class_names: what the labels stand for.
        files: the files that are read, of different names.
        shares: of the training examples for validation and test, see `deal_examples`.
        rules: the rules of a corpus without files; equal rules mean equal documents.
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
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.files = {path.name: path for path in files}
        self._read, self._shares = read, shares
        if rules:
            digest = hashlib.sha256(rules.encode()).hexdigest()
            self.sources = [Source(name="rules", num_bytes=0, sha256=digest)]

    def documents(self) -> Iterator[Document]:
        """One per example."""
        seen, where = set[Any](), ", ".join(self.files) or "the rules"
        num_classes = len(self.class_names)
        for document in self._with_final_splits():
            if document.label not in range(num_classes):
                raise UserError(
                    f"{where}: there is a label {document.label}, but the classes are 0 to "
                    f"{num_classes - 1}"
                )
            if document.split == "train":
                seen.add(document.label)
            yield document
        check_classes(seen, self.class_names, where)
        if self.files:
            self.sources = [file_source(name, path) for name, path in self.files.items()]

    def _with_final_splits(self) -> Iterator[Document]:
        if not any(self._shares):
            yield from self._read()
            return
        examples = list(self._read())
        splits = deal_examples(sum(each.split == "train" for each in examples), *self._shares)
        splits += [str(each.split) for each in examples[len(splits) :]]
        pairs = zip(examples, splits, strict=True)
        final = [dataclasses.replace(example, split=split) for example, split in pairs]
        yield from sorted(final, key=lambda example: SPLITS.index(str(example.split)))
