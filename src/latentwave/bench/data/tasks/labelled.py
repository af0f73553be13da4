"""Examples with a label, in named splits: what every labelled corpus is to the store."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, FileCorpus
from latentwave.bench.data.metadata import Source, file_source
from latentwave.errors import UserError

Label = int | tuple[int, ...]
"""The index of a class, or of all classes of a document in a multi-label corpus."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One document, its label and its split.

    Attributes:
        piece: what the codec encodes.
        label: index of its class.
        split: "train", "validation" or "test".
    """

    piece: Any
    label: int
    split: str = "train"


class LabelledRows(Corpus):
    """A labelled corpus whose files hold many examples each, or that is drawn by rules.

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
        self.class_names = tuple(class_names)
        self.files = dict(files or {})
        self._read = read
        self._shares = (validation, test)
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

        Warns:
            UserWarning: for classes without an example to train on.
        """
        names, seen = self.class_names or (), set[int]()
        for example in self._dealt():
            if not 0 <= example.label < len(names):
                raise UserError(
                    f"{', '.join(self.files)}: there is a label {example.label}, but the classes "
                    f"are 0 to {len(names) - 1}"
                )
            if example.split == "train":
                seen.add(example.label)
            yield Document(pieces=[example.piece], split=example.split, label=example.label)
        check_classes(seen, names, ", ".join(self.files) or "the rules")
        if self.files:
            self.sources = [file_source(name, path) for name, path in self.files.items()]

    def _dealt(self) -> Iterator[Example]:
        """The examples with their final splits, in order."""
        if not any(self._shares):
            yield from self._read()
            return
        splits = deal_splits(sum(each.split == "train" for each in self._read()), *self._shares)
        for split in SPLITS:
            for index, example in enumerate(self._read()):
                own = splits[index] if example.split == "train" else example.split
                if own == split:
                    yield dataclasses.replace(example, split=split)


class LabelledFiles(FileCorpus):
    """A labelled corpus with a file for each example; those that cannot be read are skipped."""

    def set_labels(self, labels: Mapping[str, Label], class_names: Collection[str]) -> None:
        """Name the classes of the files; files without a label are the tables of the labels.

        Args:
            labels: by the names of the files.
            class_names: what labels stand for.

        Raises:
            UserError: if there are fewer than two classes to train on.

        Warns:
            UserWarning: for classes without an example to train on.
        """
        self.labels, self.class_names = labels, tuple(class_names)
        self.multi_label = any(isinstance(label, tuple) for label in labels.values())
        splits = self._splits or {}
        own = [labels[name] for name in self.files if name in labels and splits[name] == "train"]
        seen = {index for each in own for index in (each if isinstance(each, tuple) else (each,))}
        check_classes(seen, self.class_names, str(self.root))

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        if name in self.labels:
            yield Document(pieces=self._pieces(name), split=split, label=self.labels[name])
        else:
            self._finish(name, [])


def check_classes(seen: set[int], class_names: Collection[str], where: str) -> None:
    """Refuse to learn one class, and warn of classes that cannot be learned.

    Args:
        seen: classes of the training examples.
        class_names: of all.
        where: they were read from.

    Raises:
        UserError: if there are fewer than two.
    """
    names = tuple(class_names)
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


def deal_splits(num_examples: int, validation: float, test: float) -> list[str]:
    """The split of each example, dealt at random but always the same.

    Args:
        num_examples: how many there are.
        validation: the share that goes to validation, rounded.
        test: the share that goes to the test, rounded.

    Example:
        >>> sorted(deal_splits(10, 0.2, 0.1))[:3]
        ['test', 'train', 'train']
    """
    # Raw bits are the same in every NumPy.
    order = np.argsort(np.random.Philox(key=0).random_raw(num_examples), kind="stable")
    num_validation = round(num_examples * validation)
    num_held_out = num_validation + round(num_examples * test)
    splits = np.full(num_examples, "train", dtype=object)
    splits[order[:num_held_out]] = "test"
    splits[order[:num_validation]] = "validation"
    return list(splits)
