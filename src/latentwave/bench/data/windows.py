"""Windows of tokens for training and evaluation, with the borders of documents in them."""

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class DocumentBorders:
    """Where documents start in the tokens of one split."""

    documents: NDArray[Any]  # (documents,): first tokens in the store, ascending
    first_token: int  # the split's first token in the store

    def of_window(
        self, start: int, window_tokens: int
    ) -> tuple[Int64[Tensor, " L"], Int64[Tensor, " L"]]:
        """`segment_ids` and `position_ids` of a window.

        Both count from 0 at the window's first token, even inside a document; at each new document
        the segment grows by one and the position starts again.
        """
        first = self.first_token + start
        documents = np.asarray(self.documents)  # slices of a plain array are cheaper
        low, high = documents.searchsorted([first + 1, first + window_tokens])
        begins = np.zeros(window_tokens, dtype=np.int64)
        begins[documents[low:high] - first] = 1
        places = np.arange(window_tokens)
        position_ids = places - np.maximum.accumulate(places * begins)
        return torch.from_numpy(begins.cumsum()), torch.from_numpy(position_ids)

    def count_predicted(self, num_tokens: int) -> int:
        """How many of the split's `num_tokens` tokens follow another of the same document."""
        stop = self.first_token + num_tokens
        first, last = np.asarray(self.documents).searchsorted([self.first_token + 1, stop])
        return num_tokens - 1 - int(last - first)


class _Windows(Dataset[dict[str, Tensor]], abc.ABC):
    """Windows of equal length; subclasses decide where each starts."""

    num_windows: int

    def __init__(
        self, tokens: NDArray[Any], window_tokens: int, borders: DocumentBorders | None, split: str
    ) -> None:
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise ValueError(
                f"tokens must be a vector of integers, got {tokens.dtype} {tokens.shape}"
            )
        if window_tokens < 2:
            raise ValueError(
                f"window_tokens must be >= 2, a token and the next one, got {window_tokens}"
            )
        if len(tokens) < window_tokens:
            raise UserError(
                f"the {split} split has {len(tokens)} tokens, fewer than one window of "
                f"{window_tokens}: use a smaller context, a longer corpus or a larger share of it"
            )
        if borders is not None and not borders.count_predicted(len(tokens)):
            raise UserError(
                f"each of the {len(tokens)} tokens of the {split} split is a document of its own, "
                "so nothing can be predicted: leave separate_documents out"
            )
        self.tokens, self.window_tokens, self.borders = tokens, window_tokens, borders

    def __len__(self) -> int:
        return self.num_windows

    @abc.abstractmethod
    def _start(self, index: int) -> int:
        """The first token of a window."""

    def __getitem__(self, index: int) -> dict[str, Int64[Tensor, " L"]]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} windows")
        start = self._start(index)
        # Slices of a plain array are cheaper than those of a memory map.
        window = np.asarray(self.tokens)[start : start + self.window_tokens]
        ids = torch.from_numpy(window.astype(np.int64))
        # The model shifts its labels and never predicts the first one. It is masked because
        # trainers divide the loss by the number of unmasked labels.
        labels = ids.clone()
        labels[0] = -100
        item = {"input_ids": ids, "labels": labels}
        if self.borders is not None:
            segment_ids, position_ids = self.borders.of_window(start, self.window_tokens)
            labels[position_ids == 0] = -100  # nothing of the same document precedes it
            item |= {"segment_ids": segment_ids, "position_ids": position_ids}
        return item


class RandomWindows(_Windows):
    """Training windows of L of N tokens, at random places.

        start(i) = ⌊r(seed, i) · (N − L + 1) / 2^64⌋,   r uniform over 64 bits

    r is counter-based (Philox), so window i depends only on i and the seed, in [0, 2^128): the
    windows are the same in any order, for any number of workers, and in a resumed run. Items are
    `input_ids` and `labels` (L,), of which L − 1 are predicted; `borders` keep the documents of a
    window apart and add `segment_ids` and `position_ids`.

    Raises:
        UserError: if there are fewer tokens than one window, or borders leave none to predict.
        ValueError: for values out of range.

    Example:
        >>> windows = RandomWindows(np.arange(100), 4, 1000, seed=0)
        >>> windows[7]["input_ids"]
        tensor([41, 42, 43, 44])
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        window_tokens: int,
        num_windows: int,
        seed: int,
        borders: DocumentBorders | None = None,
    ) -> None:
        super().__init__(tokens, window_tokens, borders, "train")
        if num_windows < 1:
            raise ValueError(f"num_windows must be >= 1, got {num_windows}")
        if not 0 <= seed < 1 << 128:
            raise ValueError(f"seed must be in [0, 2^128), got {seed}")
        self.num_windows, self.seed = num_windows, seed

    def _start(self, index: int) -> int:
        return int(self.starts(index, 1)[0])

    def starts(self, first: int, count: int) -> NDArray[np.int64]:
        """The first tokens of `count` windows, from window `first` on."""
        # Raw bits are the same in every version of NumPy, Generator.integers need not be. Each
        # step of the counter gives four numbers, of which the first is used.
        bits = np.random.Philox(key=self.seed, counter=first).random_raw(4 * count)[::4]
        places = len(self.tokens) - self.window_tokens + 1
        return np.array([int(each) * places >> 64 for each in bits], dtype=np.int64)


class TokenBatches:
    """Batches of `RandomWindows` without borders, made on a device.

    An accelerator holds the tokens of the split, so that only the places of windows are copied to
    it, for many steps at a time. Items are the dataset's, to the bit. Each process reads its own
    `windows_per_pass` windows in every forward pass of a step.

    Example:
        >>> windows = RandomWindows(np.arange(100), 4, 6, seed=0)
        >>> batches = TokenBatches(windows, windows_per_pass=2)
        >>> len(batches), [batch["input_ids"][:, 0].tolist() for batch in batches]
        (3, [[1, 48], [24, 55], [27, 15]])
    """

    _STEPS_AHEAD = 256
    _MOST_BYTES = 8 * 2**30

    def __init__(
        self,
        windows: RandomWindows,
        *,
        windows_per_pass: int,
        passes_per_step: int = 1,
        device: torch.device | str = "cpu",
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.dataset, self.batch_size = windows, windows_per_pass
        self._stride = windows_per_pass * num_processes
        self._offset = windows_per_pass * rank
        self._passes_per_step = passes_per_step
        self._device = torch.device(device)
        self._first_pass = 0
        self._span = torch.arange(windows.window_tokens, device=self._device)
        self._tokens: Tensor | None = None
        dtype = np.uint8 if windows.tokens.dtype == np.uint8 else np.int32
        if self._device.type != "cpu" and windows.tokens.size * dtype().nbytes <= self._MOST_BYTES:
            self._tokens = torch.from_numpy(np.asarray(windows.tokens).astype(dtype)).to(device)

    def __len__(self) -> int:  # forward passes of one process
        return len(self.dataset) // self._stride

    def start_at(self, step: int) -> None:
        """Make the next iteration begin with the windows of a step."""
        self._first_pass = step * self._passes_per_step

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for first in range(self._first_pass, len(self), self._STEPS_AHEAD):
            passes = min(self._STEPS_AHEAD, len(self) - first)
            starts = self.dataset.starts(first * self._stride, passes * self._stride)
            starts = starts.reshape(passes, self._stride)[:, self._offset :][:, : self.batch_size]
            batches = torch.from_numpy(starts.copy())
            if self._tokens is not None:
                batches = batches.pin_memory().to(self._device, non_blocking=True)
            for batch in batches:
                ids = self._gather(batch)
                labels = ids.clone()
                labels[:, 0] = -100
                yield {"input_ids": ids, "labels": labels}

    def _gather(self, starts: Tensor) -> Tensor:
        if self._tokens is not None:
            return self._tokens[starts[:, None] + self._span].long()
        tokens, length = np.asarray(self.dataset.tokens), self.dataset.window_tokens
        rows = [tokens[start : start + length] for start in starts.tolist()]
        return torch.from_numpy(np.stack(rows).astype(np.int64)).to(self._device)


class GridWindows(_Windows):
    """Evaluation windows at fixed, evenly spaced places.

        start(i) = (L − 1) · ⌊i · G / n⌋,   G = ⌊(N − 1) / (L − 1)⌋

    for N tokens, windows of L, and n ≤ `num_windows` of the G windows of the full grid. Neighbours
    in the grid share one token, the last label of one and the first input of the next, so no token
    is predicted twice, and with n = G every token but the first is predicted once. Up to L − 2
    tokens after the last window are left out. Items, borders and errors are those of
    `RandomWindows`; errors name the `split`.

    Example:
        >>> [window["input_ids"].tolist() for window in GridWindows(np.arange(8), 4)]
        [[0, 1, 2, 3], [3, 4, 5, 6]]
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        window_tokens: int,
        num_windows: int | None = None,
        borders: DocumentBorders | None = None,
        *,
        split: str = "validation",
    ) -> None:
        super().__init__(tokens, window_tokens, borders, split)
        if num_windows is not None and num_windows < 1:
            raise ValueError(f"num_windows must be >= 1 or None, got {num_windows}")
        self._grid = (len(tokens) - 1) // (window_tokens - 1)
        self.num_windows = self._grid if num_windows is None else min(num_windows, self._grid)

    def _start(self, index: int) -> int:
        return (self.window_tokens - 1) * (index * self._grid // self.num_windows)
