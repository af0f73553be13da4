"""Which document goes into which split: by names, by whole files, or by shares."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from latentwave.bench.data.corpus import (
    SPLITS,
    Corpus,
    Document,
    UnreadableDocumentError,
    check_classes,
)
from latentwave.bench.data.metadata import Source, file_source
from latentwave.errors import UserError

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Files about the others.
ABOUT = ("readme", "license", "licence", "copying", "changelog", "citation")


def split_of(name: str) -> str | None:
    """The split that a file name or the name of a split stands for."""
    words = re.split(r"[^a-z]+", re.sub(r"\d+", " ", name.lower()))
    found = {_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def choose_splits(
    files: Mapping[str, Path],
    by: str | None,
    *,
    default: str = "tokens",
    validation: float,
    test: float,
) -> dict[str, str] | None:
    """The split of every file of a corpus; None: the store is cut by shares.

    `by` is as in `CorpusConfig.split_by`, None: "name" if names say, else `default`. Where names
    say, files about the others, such as a README, are left out. A UserError says if most names say
    and others do not, or if there are too few files or folders for the shares of the bytes.
    """
    if by in (None, "name"):
        others = [name for name in files if not PurePosixPath(name).name.lower().startswith(ABOUT)]
        named = _by_name(others, demanded=by == "name")
        if named is not None:
            return named
    by = by or default
    if by == "tokens":
        return None
    groups = {name: name if by == "file" else str(PurePosixPath(name).parent) for name in files}
    sizes = dict.fromkeys(groups.values(), 0)
    for name, path in files.items():
        sizes[groups[name]] += path.stat().st_size if path.is_file() else 0
    splits = deal(sizes, validation=validation, test=test)
    return {name: splits[group] for name, group in groups.items()}


def _by_name(files: Sequence[str], *, demanded: bool) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name in files:
        path = PurePosixPath(name)
        # The nearest name decides; that of a folder only as a whole word.
        above = (_SPLIT_NAMES.get(folder.lower()) for folder in reversed(path.parent.parts))
        split = next(filter(None, (split_of(path.name), *above)), None)
        if split is not None:
            found[name] = split
    unnamed = [name for name in files if name not in found]
    is_published = "train" in found.values() and len(set(found.values())) > 1
    if is_published and not unnamed:
        return found
    if demanded or (is_published and 2 * len(found) >= len(files)):
        first = unnamed[0] if unnamed else files[0] if files else "others"
        raise UserError(
            f"{len(found)} of {len(files)} files are called after a split such as train or test, "
            f"but not {first}: leave it out, or say with split_by whether names shall count "
            '("name") or not ("tokens", "file", "folder")'
        )
    return None


def deal(sizes: Mapping[str, int], *, validation: float, test: float) -> dict[str, str]:
    """Give every group of documents to one split, so that the splits come close to their shares.

    The groups, by name with their sizes, are taken in the order of the SHA-256 of their names, the
    same everywhere; the first fill the test split, the next the validation split, the rest is for
    training. A group that would overfill a split by more than it lacks is passed over; if all
    would, the smallest is taken. A UserError says if there are too few.
    """
    wanted = {"test": test, "validation": validation}
    wanted = {split: share for split, share in wanted.items() if share > 0}
    if len(sizes) <= len(wanted):
        raise UserError(
            f"{len(sizes)} files or folders are too few for {len(wanted) + 1} splits of whole "
            'ones: add some, or set split_by to "tokens"'
        )
    waiting = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
    result: dict[str, str] = {}
    for later, (split, share) in zip(range(len(wanted) - 1, -1, -1), wanted.items(), strict=True):
        lacking = share * sum(sizes.values())
        for name in list(waiting):
            if 2 * lacking >= sizes[name] and len(waiting) > later + 1:
                result[name] = split
                waiting.remove(name)
                lacking -= sizes[name]
        if split not in result.values():  # every group is larger than the share
            smallest = min(waiting, key=sizes.__getitem__)
            result[smallest] = split
            waiting.remove(smallest)
    return {name: result.get(name, "train") for name in sizes}


def deal_examples(num_examples: int, validation: float, test: float) -> list[str]:
    """The split of each example, dealt by shares at random but always the same."""
    # Raw bits are the same in every NumPy.
    order = np.argsort(np.random.Philox(key=0).random_raw(num_examples), kind="stable")
    num_validation = round(num_examples * validation)
    splits = np.full(num_examples, "train", dtype=object)
    splits[order[: num_validation + round(num_examples * test)]] = "test"
    splits[order[:num_validation]] = "validation"
    return list(splits)


def share_sizes(total: int, validation: float, test: float) -> dict[str, int]:
    """How much of something each split gets, train first."""
    # From the small shares: 1 − 0.05 − 0.05 is a hair below 0.9 and would miss text8's borders.
    sizes = {"validation": round(total * validation), "test": round(total * test)}
    return {"train": total - sum(sizes.values()), **sizes}


class CharacterShares(Corpus):
    """A text corpus whose documents name their split, cut by shares of its characters.

    A tokenizer that is trained on the training text must know that text before there are tokens.
    The borders are those of the same text with one token per character; where the documents of
    the corpus name splits these stand, and a missing validation split is cut off the end of the
    training text.
    """

    def __init__(self, corpus: Corpus, validation: float, test: float) -> None:
        super().__init__()
        self._corpus = corpus
        self._shares = (validation, test)
        self._sizes: dict[str, int] | None = None
        self.files, self.left_out = corpus.files, corpus.left_out

    def documents(self) -> Iterator[Document]:
        """The documents; one that a border cuts becomes two."""
        if self._sizes is None:
            self._sizes = self._count()
        room = {name: size for name, size in self._sizes.items() if size} or {"train": 0}
        room[list(room)[-1]] = sys.maxsize  # takes what is left
        for document in self._corpus.documents():
            yield from _cut(document, room)
        self.sources, self.skipped = self._corpus.sources, self._corpus.skipped

    def _count(self) -> dict[str, int]:
        """How many characters belong to each split in turn."""
        found: dict[str | None, int] = {}
        for document in self._corpus.documents():
            try:
                number = sum(len(piece) for piece in document.pieces)
            except UnreadableDocumentError:
                continue
            found[document.split] = found.get(document.split, 0) + number
        if None in found:
            return share_sizes(found[None], *self._shares)
        if "validation" in found or "train" not in found:
            return {name: found.get(name, 0) for name in SPLITS}
        return share_sizes(found["train"], self._shares[0], 0.0) | {"test": found.get("test", 0)}


def _cut(document: Document, room: dict[str, int]) -> Iterator[Document]:
    """A text cut where the room of a split ends, which it uses up."""
    pieces, rest = filter(None, document.pieces), ""

    def take(split: str) -> Iterator[str]:
        nonlocal rest
        while room[split] and (rest := rest or next(pieces, "")):
            part, rest = rest[: room[split]], rest[room[split] :]
            room[split] -= len(part)
            yield part

    while rest := rest or next(pieces, ""):
        split = next(name for name in SPLITS if room.get(name))
        yield Document(pieces=take(split), split=split)


@dataclasses.dataclass(frozen=True)
class Example:
    """One document, its label and its split."""

    piece: Any  # what the codec encodes
    label: int  # index of its class
    split: str = "train"


class LabelledRows(Corpus):
    """A labelled corpus whose files hold many examples each, or that is drawn by rules.

    Args:
        read: gives the examples, train before validation before test; the same at every call.
        class_names: what the labels stand for.
        files: that are read, by name.
        shares: of the training examples to set apart for validation and test, see `deal_examples`.
        rules: what a corpus without files is drawn by; equal rules, equal documents.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Example]],
        class_names: Collection[str],
        files: Mapping[str, Path] | None = None,
        shares: tuple[float, float] = (0.0, 0.0),
        rules: str = "",
    ) -> None:
        super().__init__()
        self.class_names = names = tuple(class_names)
        self.files = dict(files or {})
        self._read, self._shares, self._num_classes = read, shares, len(names)
        if rules:
            digest = hashlib.sha256(rules.encode()).hexdigest()
            self.sources = [Source(name="rules", num_bytes=0, sha256=digest)]

    def read_through(self) -> None:
        """Read everything once; rules say all that there is to know."""
        if self.files:
            super().read_through()

    def documents(self) -> Iterator[Document]:
        """One per example."""
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
