"""Where one split of a store ends and the next begins, and how many units each holds."""

from __future__ import annotations

import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.corpus import SPLITS
from latentwave.bench.data.metadata import Split
from latentwave.errors import UserError

_CHUNK_TOKENS = 1 << 16
STRIDE_TOKENS = 4096


class Borders:
    """Takes notes while tokens are written, and cuts them into splits afterwards.

    The notes say how many units there were up to some token, about every 4096 tokens, so that
    the units of any range of tokens can be told without reading all of them again.

    Args:
        stride_tokens: the least distance of two notes; 0 notes the end of every piece.
    """

    def __init__(self, stride_tokens: int = STRIDE_TOKENS) -> None:
        self._stride_tokens = stride_tokens
        self._named: dict[str, int] | None = None  # the first token of each split that was named
        self._units: dict[str, int] = {}  # so far
        self._num_tokens = 0
        self._places = array.array("q", [0])
        self._notes: dict[str, array.array[int]] = {}

    def open_document(self, split: str | None, num_tokens: int) -> None:
        """Note the split of the document that begins now.

        Raises:
            ValueError: if splits are unknown or out of order, or only some documents name one.
        """
        if split is None:
            if self._named:
                raise ValueError("all documents of a corpus must name a split, or none")
            self._named = {}
            return
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if self._named is None:
            self._named = {}
        elif not self._named:
            raise ValueError("all documents of a corpus must name a split, or none")
        if split in self._named:
            if next(reversed(self._named)) != split:
                raise ValueError(f"documents of the split {split!r} must follow each other")
            return
        if any(SPLITS.index(name) > SPLITS.index(split) for name in self._named):
            raise ValueError(f"the split {split!r} must come before {', '.join(self._named)}")
        self._note(num_tokens)
        self._named[split] = num_tokens

    def add(self, units: dict[str, int], num_tokens: int) -> None:
        """Note what a piece held, and how many tokens there are after it."""
        for unit, number in units.items():
            self._units[unit] = self._units.get(unit, 0) + number
        self._num_tokens = num_tokens
        if num_tokens - self._places[-1] >= self._stride_tokens:
            self._note(num_tokens)

    def mark(self) -> tuple[Any, ...]:
        """What `rollback` needs."""
        return dict(self._units), self._num_tokens, len(self._places)

    def rollback(self, mark: tuple[Any, ...]) -> None:
        """Forget what was noted since `mark`."""
        self._units, self._num_tokens, length = mark
        del self._places[length:]
        for notes in self._notes.values():
            del notes[length:]

    def close(self, num_tokens: int) -> None:
        """Note the end."""
        self._note(num_tokens)

    def cut(
        self,
        validation: float,
        test: float,
        *,
        units_of: Callable[[int, int], dict[str, int] | None],
        documents: NDArray[np.int64] | None = None,
    ) -> dict[str, Split]:
        """The splits.

        Where documents name their splits these stand; only a validation split that is missing is
        cut off the end of the training tokens. Otherwise the shares are taken from the end.

        Args:
            validation: share of the tokens.
            test: share of the tokens.
            units_of: what the tokens of a range hold, None where they do not tell.
            documents: first tokens of documents that must not be cut in two; None: they may.

        Raises:
            UserError: if a corpus that names its splits has no training documents.
        """
        total = self._num_tokens
        if not self._named:
            # From the small shares: 1 − 0.05 − 0.05 is a hair below 0.9 and would miss text8's
            # own borders.
            num_test, num_validation = round(total * test), round(total * validation)
            wanted = [total - num_test - num_validation, total - num_test]
            first, second = (self._allowed(place, units_of, documents) for place in wanted)
        else:
            if "train" not in self._named:
                raise UserError(
                    f"the corpus has no training documents, only {', '.join(self._named)}"
                )
            second = self._named.get("test", total)
            first = self._named.get("validation", second)
            if "validation" not in self._named:
                first = self._allowed(second - round(second * validation), units_of, documents)
        places = [0, first, second, total]
        return {
            name: Split(
                start=places[index],
                stop=places[index + 1],
                num_units=self._between(places[index], places[index + 1], units_of),
            )
            for index, name in enumerate(SPLITS)
        }

    def _note(self, num_tokens: int) -> None:
        if num_tokens == self._places[-1]:
            return
        for unit, number in self._units.items():
            # A unit that first comes now held nothing at the earlier places.
            if unit not in self._notes:
                self._notes[unit] = array.array("q", [0] * len(self._places))
            self._notes[unit].append(number)
        self._places.append(num_tokens)

    def _allowed(
        self,
        place: int,
        units_of: Callable[[int, int], dict[str, int] | None],
        documents: NDArray[np.int64] | None,
    ) -> int:
        """The nearest place where a border may stand."""
        if documents is not None:
            return _nearest([*documents.tolist(), self._num_tokens], place)
        return place if units_of(0, 0) is not None else _nearest(self._places, place)

    def _between(
        self, start: int, stop: int, units_of: Callable[[int, int], dict[str, int] | None]
    ) -> dict[str, int]:
        before, until = self._upto(start, units_of), self._upto(stop, units_of)
        return {unit: until[unit] - before[unit] for unit in self._units}

    def _upto(
        self, place: int, units_of: Callable[[int, int], dict[str, int] | None]
    ) -> dict[str, int]:
        index = bisect_right(self._places, place) - 1
        units = {unit: notes[index] for unit, notes in self._notes.items()}
        for start in range(self._places[index], place, _CHUNK_TOKENS):
            more = units_of(start, min(start + _CHUNK_TOKENS, place))
            if more is None:
                raise ValueError(f"tokens do not tell their units at the border {place}")
            units = {unit: number + more[unit] for unit, number in units.items()}
        return units


def _nearest(places: Any, wanted: int) -> int:
    index = bisect_right(places, wanted)
    around = places[max(0, index - 1) : index + 1]
    return int(min(around, key=lambda place: abs(place - wanted)))
