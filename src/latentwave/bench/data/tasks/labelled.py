"""Examples with a label, in named splits: what every labelled corpus is to the store."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.media import UnusableFileError
from latentwave.bench.data.metadata import SkippedFile, Source
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True)
class Example:
    """One document, its label and its split.

    Attributes:
        pieces: what the codec encodes; reading them may raise `UnusableFileError`.
        label: index of its class, or a tuple of them in a multi-label corpus.
        split: "train", "validation" or "test".
        file: the file that holds nothing else, by its name in the corpus's `files`; None if it
            shares one with others.
    """

    pieces: Iterable[Any]
    label: int | tuple[int, ...]
    split: str = "train"
    file: str | None = None


class LabelledCorpus(Corpus):
    """A labelled corpus, whatever it is read from.

    Examples that cannot be read are skipped and counted.

    Args:
        read: gives the examples, train before validation before test; the same at every call.
        class_names: what the labels stand for.
        files: that are read, by name.
        validation: share of the training examples to set apart, at random but always the same
            ones, for a corpus that comes without a validation split.
        test: the same for a corpus that comes without a test split.
        multi_label: whether labels are tuples.
        skipped: files that were found and are not used.
        rules: what a corpus without files is drawn by; equal rules, equal documents.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Example]],
        class_names: Iterable[str],
        files: Mapping[str, Path] | None = None,
        *,
        validation: float = 0.0,
        test: float = 0.0,
        multi_label: bool = False,
        skipped: Iterable[SkippedFile] = (),
        rules: str = "",
    ) -> None:
        super().__init__()
        self._read = read
        self._names = self.class_names = tuple(class_names)
        self.files = dict(files or {})
        self._shares = (validation, test)
        self.multi_label = multi_label
        self._left_out = list(skipped)
        digest = hashlib.sha256(rules.encode()).hexdigest()
        self._rules = [Source(name="rules", num_bytes=0, sha256=digest)] if rules else []
        self.sources = list(self._rules)

    def read_through(self) -> None:
        """Read everything once; rules say all that there is to know."""
        if not self._rules:
            super().read_through()

    def documents(self) -> Iterator[Document]:
        """One per example.

        Raises:
            UserError: if a label stands for no class, no example of a split can be read, or there
                are fewer than two classes to train on.

        Warns:
            UserWarning: for classes without an example to train on.
        """
        self.sources, self.skipped = list(self._rules), list(self._left_out)
        num_found, num_skipped = collections.Counter[str](), collections.Counter[str]()
        classes: set[int] = set()
        for example in self._dealt():
            labels = example.label if isinstance(example.label, tuple) else (example.label,)
            if not all(0 <= label < len(self._names) for label in labels):
                raise UserError(
                    f"{', '.join(self.files)}: there is a label {example.label}, but the classes "
                    f"are 0 to {len(self._names) - 1}"
                )
            if example.split == "train":
                classes.update(labels)
            before = len(self.skipped)
            yield Document(pieces=self._open(example), split=example.split, label=example.label)
            num_found[example.split] += 1
            num_skipped[example.split] += len(self.skipped) - before
        for split, count in num_found.items():
            if count == num_skipped[split]:
                reason = self.skipped[len(self._left_out)].reason
                raise UserError(
                    f"none of the {count} {split} examples can be read; the first: {reason}"
                )
        self._check_classes(classes)
        known = {source.name for source in self.sources} | {file.name for file in self.skipped}
        self.sources += [
            file_source(name, path) for name, path in self.files.items() if name not in known
        ]

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

    def _open(self, example: Example) -> Iterator[Any]:
        try:
            yield from example.pieces
        except (UnusableFileError, OSError) as error:
            why = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else error
            reason = f"{example.file} {why}"
            self.skipped.append(SkippedFile(name=str(example.file), reason=reason))
            raise UnreadableDocumentError(reason) from error
        if example.file is not None:
            self.sources.append(file_source(example.file, self.files[example.file]))

    def _check_classes(self, classes: set[int]) -> None:
        if len(classes) < 2:
            only = f"only {self._names[min(classes)]!r}" if classes else "nothing"
            raise UserError(
                f"there is {only} to train on, at least two classes are needed: check "
                f"{', '.join(list(self.files)[:3]) or 'the rules'}"
            )
        absent = [name for index, name in enumerate(self._names) if index not in classes]
        if absent:
            warnings.warn(
                f"{len(absent)} of {len(self._names)} classes have no example to train on; the "
                f"first: {absent[0]}",
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


def file_source(name: str, path: Path) -> Source:
    """A file under a name, with the digest of its content.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Source(name=name, num_bytes=path.stat().st_size, sha256=digest)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
