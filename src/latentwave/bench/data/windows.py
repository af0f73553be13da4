"""Windows of tokens: what training and evaluation read."""

from __future__ import annotations

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

    documents: NDArray[Any]  # (documents,): first tokens, ascending, such as `store.documents`
    first_token: int  # the place of the split's first token in the same count

    def of_window(
        self, start: int, window_tokens: int
    ) -> tuple[Int64[Tensor, " L"], Int64[Tensor, " L"]]:
        """`segment_ids`, one more at each new document of a window, and places in the document.

        Both count from 0 at the window's first token, whatever document it stands in.
        """
        first = self.first_token + start
        documents = np.asarray(self.documents)  # slices of a plain array are cheaper to make
        low, high = documents.searchsorted([first + 1, first + window_tokens])
        begins = np.zeros(window_tokens, dtype=np.int64)
        begins[documents[low:high] - first] = 1
        places = np.arange(window_tokens)
        position_ids = places - np.maximum.accumulate(places * begins)
        return torch.from_numpy(begins.cumsum()), torch.from_numpy(position_ids)

    def count_predicted(self, num_tokens: int) -> int:
        """How many of the split's tokens have one of their own document before them."""
        stop = self.first_token + num_tokens
        first, last = np.asarray(self.documents).searchsorted([self.first_token + 1, stop])
        return num_tokens - 1 - int(last - first)


class _Windows(Dataset[dict[str, Tensor]], abc.ABC):
    """Windows of equal length; subclasses say where each starts."""

    num_windows: int

    def __init__(
        self,
        tokens: NDArray[Any],
        window_tokens: int,
        borders: DocumentBorders | None,
        split: str,
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
        # Slices of a plain array are cheaper to make than those of a memory map.
        window = np.asarray(self.tokens)[start : start + self.window_tokens]
        ids = torch.from_numpy(window.astype(np.int64))
        # The model shifts its labels, so the first is never predicted: it is masked, since
        # trainers divide the loss by the number of labels that are not.
        labels = ids.clone()
        labels[0] = -100
        item = {"input_ids": ids, "labels": labels}
        if self.borders is not None:
            segment_ids, position_ids = self.borders.of_window(start, self.window_tokens)
            labels[position_ids == 0] = -100  # nothing of its own document stands before it
            item |= {"segment_ids": segment_ids, "position_ids": position_ids}
        return item


class RandomWindows(_Windows):
    """Training windows of L of N tokens, at random places.

        start(i) = ⌊r(seed, i) · (N − L + 1) / 2^64⌋,   r uniform over 64 bits

    r is counter-based (Philox), so window i depends on the seed, in [0, 2^128), and on i alone:
    any order, any number of workers, and a resumed run read the same windows. Items are
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
        # The raw bits are the same in every NumPy; those of Generator.integers need not be. Each
        # count of the generator gives four numbers, the first of which is ours.
        bits = np.random.Philox(key=self.seed, counter=first).random_raw(4 * count)[::4]
        places = len(self.tokens) - self.window_tokens + 1
        return np.array([int(each) * places >> 64 for each in bits], dtype=np.int64)


class TokenBatches:
    """The windows of `RandomWindows` without borders as batches on a device, step after step.

    On an accelerator the tokens of the split stay there, so that a step copies nothing but the
    places of its windows, many steps at a time. Items are those of the dataset, to the bit. A
    process reads `windows_per_pass` in each of the forward passes of a step, its own share.

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
        """Let the next iteration begin with the windows of a step."""
        self._first_pass = step * self._passes_per_step

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for first in range(self._first_pass, len(self), self._STEPS_AHEAD):
            passes = min(self._STEPS_AHEAD, len(self) - first)
            starts = self.dataset.starts(first * self._stride, passes * self._stride)
            starts = starts.reshape(passes, self._stride)
            own = torch.from_numpy(starts[:, self._offset : self._offset + self.batch_size].copy())
            if self._tokens is not None:
                own = own.pin_memory().to(self._device, non_blocking=True)
            for places in own:
                ids = self._gather(places)
                labels = ids.clone()
                labels[:, 0] = -100
                yield {"input_ids": ids, "labels": labels}

    def _gather(self, places: Tensor) -> Tensor:
        if self._tokens is not None:
            return self._tokens[places[:, None] + self._span].long()
        tokens, length = np.asarray(self.dataset.tokens), self.dataset.window_tokens
        rows = [tokens[start : start + length] for start in places.tolist()]
        return torch.from_numpy(np.stack(rows).astype(np.int64)).to(self._device)


class GridWindows(_Windows):
    """Evaluation windows at fixed, evenly spaced places.

        start(i) = (L − 1) · ⌊i · G / n⌋,   G = ⌊(N − 1) / (L − 1)⌋

    for N tokens, windows of L, and n, at most `num_windows`, of the G windows of the full grid.
    Neighbours of the grid share one token, the last label of one and the first input of the next,
    so no token is predicted twice, and with n = G every token but the first is predicted once. The
    fewer than L − 1 tokens after the last window are left out. Items, borders and faults are those
    of `RandomWindows`; faults name the `split`.

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
