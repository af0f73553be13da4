"""Retrieval: do two documents belong together?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentwave.bench.data.corpus import SPLITS, Corpus, Document
from latentwave.bench.data.tasks.shares import deal_splits
from latentwave.bench.data.tasks.trees import file_source
from latentwave.errors import UserError

CLASS_NAMES = ("unrelated", "related")


class PairTables(Corpus):
    """The ACL Anthology pairs of the Long Range Arena: label, two numbers, two texts on a line.

    The two texts become one document with a separator between them, while the Long Range Arena
    encodes each by itself and compares the two codes.

    Args:
        folder: holds one file each whose name ends in .train.tsv, .eval.tsv and .test.tsv.

    Raises:
        UserError: if one is missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._tables = {}
        for split, end in (("train", "train"), ("validation", "eval"), ("test", "test")):
            found = sorted(folder.glob(f"*.{end}.tsv"))
            if len(found) != 1:
                raise UserError(
                    f"{folder} holds {len(found)} files *.{end}.tsv, expected one: name the folder "
                    "of the pairs, e.g. with new_aan_pairs.train.tsv, .eval.tsv and .test.tsv"
                )
            self._tables[split] = found[0]
        self.files = {path.name: path for path in self._tables.values()}
        self.class_names = CLASS_NAMES

    def documents(self) -> Iterator[Document]:
        """One pair each, as the bytes of its two texts.

        Raises:
            UserError: for a line that is no labelled pair, with its number.
        """
        for split, path in self._tables.items():
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    fields = line.rstrip(b"\r\n").split(b"\t")
                    label = {b"0": 0, b"0.0": 0, b"1": 1, b"1.0": 1}.get(fields[0])
                    if len(fields) != 5 or label is None:
                        raise UserError(
                            f"{path}, line {number}: expected label (0 or 1), two numbers and two "
                            f"texts between tabs, got {line[:40]!r}"
                        )
                    yield Document(pieces=[(fields[3], fields[4])], split=split, label=label)
        self.sources = [file_source(path) for path in self._tables.values()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassageRules:
    """How pairs of passages are drawn.

    Attributes:
        num_train: pairs to train on.
        num_validation: to validate on.
        num_test: to test on.
        passage_bytes: of each passage.
        validation: share of the books that only validation pairs are drawn from.
        test: share of the books for test pairs.
        seed: of the draws.
    """

    num_train: int = 8_000
    num_validation: int = 1_000
    num_test: int = 1_000
    passage_bytes: int = 1_000
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: for a value out of range.
        """
        least = {"num_train": 1, "num_validation": 1, "num_test": 0, "passage_bytes": 1, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"book-pairs: {name} must be >= {bound}, got {getattr(self, name)}")


class BookPairs(Corpus):
    """Pairs of passages from one book (related) or from two (unrelated), half of each.

    A stand-in for the published pairs, made from any folder of long texts. Books are dealt to
    the splits, so the books of the test were never trained on. Passages of one pair do not
    overlap.

    Args:
        folder: text files, a book each; those shorter than three passages are left out.
        rules: how many pairs, how long.

    Raises:
        UserError: if a split gets fewer than two books.
    """

    def __init__(self, folder: Path, rules: PassageRules) -> None:
        super().__init__()
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}: name one with a text file per book")
        paths = sorted(folder.glob("*.txt"))
        long = [path for path in paths if path.stat().st_size >= 3 * rules.passage_bytes]
        self._rules = rules
        self._books: dict[str, list[Path]] = {split: [] for split in SPLITS}
        splits = deal_splits(len(long), rules.validation, rules.test, rules.seed)
        for path, split in zip(long, splits, strict=True):
            self._books[split].append(path)
        counts = {"train": 1, "validation": 1, "test": rules.num_test}
        for split, wanted in counts.items():
            if wanted and len(self._books[split]) < 2:
                raise UserError(
                    f"{folder} has {len(long)} books of at least {3 * rules.passage_bytes} bytes, "
                    f"which leave {len(self._books[split])} for {split}, at least 2 are needed: "
                    "add books, raise the split's share, or shorten the passages"
                )
        self.files = {path.name: path for path in long}
        self.class_names = CLASS_NAMES

    def documents(self) -> Iterator[Document]:
        """One pair each, as the bytes of its two passages."""
        rules = self._rules
        counts = (rules.num_train, rules.num_validation, rules.num_test)
        for key, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
            books = [path.read_bytes() for path in self._books[split]] if count else []
            for index in range(count):
                label = index % 2
                first, second = _draw_pair(books, label, rules, key, index)
                yield Document(pieces=[(first, second)], split=split, label=label)
        self.sources = [file_source(path) for path in self.files.values()]


def _draw_pair(
    books: list[bytes], label: int, rules: PassageRules, key: int, index: int
) -> tuple[bytes, bytes]:
    # Every pair by its own counter: the split sizes do not move the pairs.
    bits = np.random.Philox(key=(rules.seed << 2) + key, counter=index << 64).random_raw(4)

    def below(place: int, bound: int) -> int:
        return int(bits[place]) * bound >> 64

    n, first = rules.passage_bytes, below(0, len(books))
    if label:
        room = len(books[first]) - 2 * n
        one, other = sorted((below(1, room + 1), below(2, room + 1)))
        starts = [one, other + n]
        if int(bits[3]) & 1:
            starts.reverse()
        second = first
    else:
        second = (first + 1 + below(3, len(books) - 1)) % len(books)
        starts = [
            below(place + 1, len(books[b]) - n + 1) for place, b in enumerate((first, second))
        ]
    return tuple(books[b][s : s + n] for b, s in zip((first, second), starts, strict=True))  # type: ignore[return-value]
