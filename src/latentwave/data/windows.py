"""Windows of tokens: what training and evaluation read."""

from __future__ import annotations

import abc
import mmap
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from latentwave.errors import UserError


class _Windows(Dataset[dict[str, Tensor]], abc.ABC):
    """Windows of equal length; subclasses say where each starts."""

    def __init__(self, tokens: NDArray[Any], window_tokens: int) -> None:
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
                f"the split has {len(tokens)} tokens, fewer than one window of {window_tokens}: "
                "use a smaller context or more text"
            )
        self.tokens = tokens
        self.window_tokens = window_tokens

    @abc.abstractmethod
    def __len__(self) -> int:
        """Windows."""

    @abc.abstractmethod
    def _start(self, index: int) -> int:
        """The first token of a window."""

    def __getitem__(self, index: int) -> dict[str, Int64[Tensor, " L"]]:
        """One window as `input_ids` and `labels`.

        The model shifts its labels, so the first is never predicted: it is masked (-100), since
        trainers divide the loss by the number of labels that are not.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} windows")
        start = self._start(index)
        window = self.tokens[start : start + self.window_tokens]
        ids = torch.from_numpy(window.astype(np.int64))
        labels = ids.clone()
        labels[0] = -100
        return {"input_ids": ids, "labels": labels}

    def __getstate__(self) -> dict[str, Any]:
        """The mapped file by its name: pickling the array would copy all tokens to each worker."""
        state = self.__dict__.copy()
        tokens = self.tokens
        # Only the map itself knows its true offset; a slice of it repeats the map's.
        if isinstance(tokens, np.memmap) and isinstance(tokens.base, mmap.mmap):
            state["tokens"] = _MappedFile(tokens)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again."""
        self.__dict__.update(state)
        if isinstance(self.tokens, _MappedFile):
            self.tokens = self.tokens.open()


class RandomWindows(_Windows):
    """Training windows at random places.

        start(i) = ⌊r(seed, i) · (N − L + 1) / 2^64⌋,   r uniform over 64 bits

    for N tokens and windows of L. r is counter-based (Philox), so window i depends on the seed and
    on i alone: any order, any number of workers, and a resumed run read the same windows.

    Args:
        tokens: (N,), integers, such as `store.split("train")`.
        window_tokens: L; a causal language model predicts L − 1 tokens of each window.
        num_windows: the length of the dataset, such as steps · batch size.
        seed: >= 0.

    Raises:
        UserError: if there are fewer tokens than one window.
        ValueError: for values out of range.

    Example:
        >>> windows = RandomWindows(np.arange(100), 4, 1000, seed=0)
        >>> windows[7]["input_ids"]
        tensor([41, 42, 43, 44])
    """

    def __init__(
        self, tokens: NDArray[Any], window_tokens: int, num_windows: int, seed: int
    ) -> None:
        super().__init__(tokens, window_tokens)
        if num_windows < 1:
            raise ValueError(f"num_windows must be >= 1, got {num_windows}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.num_windows = num_windows
        self.seed = seed

    def __len__(self) -> int:
        """Windows."""
        return self.num_windows

    def _start(self, index: int) -> int:
        # The raw bits are the same in every NumPy; those of Generator.integers need not be.
        bits = int(np.random.Philox(key=self.seed, counter=index).random_raw())
        return bits * (len(self.tokens) - self.window_tokens + 1) >> 64


class GridWindows(_Windows):
    """Evaluation windows at fixed, evenly spaced places.

        start(i) = (L − 1) · ⌊i · G / n⌋,   G = ⌊(N − 1) / (L − 1)⌋

    for N tokens, windows of L, and n of the G windows of the full grid. Neighbours of the grid
    share one token, the last label of one and the first input of the next, so no token is
    predicted twice, and with n = G every token but the first is predicted once. The fewer than
    L − 1 tokens after the last window are left out, so that all windows have one length.

    Args:
        tokens: (N,), integers, such as `store.split("validation")`.
        window_tokens: L; a causal language model predicts L − 1 tokens of each window.
        num_windows: n, at most; None, and any n above G, mean G.

    Raises:
        UserError: if there are fewer tokens than one window.
        ValueError: for values out of range.

    Example:
        >>> [window["input_ids"].tolist() for window in GridWindows(np.arange(8), 4)]
        [[0, 1, 2, 3], [3, 4, 5, 6]]
    """

    def __init__(
        self, tokens: NDArray[Any], window_tokens: int, num_windows: int | None = None
    ) -> None:
        super().__init__(tokens, window_tokens)
        if num_windows is not None and num_windows < 1:
            raise ValueError(f"num_windows must be >= 1 or None, got {num_windows}")
        self._grid = (len(tokens) - 1) // (window_tokens - 1)
        self.num_windows = self._grid if num_windows is None else min(num_windows, self._grid)

    def __len__(self) -> int:
        """Windows."""
        return self.num_windows

    def _start(self, index: int) -> int:
        return (self.window_tokens - 1) * (index * self._grid // self.num_windows)


class _MappedFile:
    """Enough of a memory map to open it in another process."""

    def __init__(self, tokens: np.memmap[Any, Any]) -> None:
        self.name = str(tokens.filename)
        self.dtype = tokens.dtype
        self.offset = tokens.offset
        self.size = len(tokens)

    def open(self) -> NDArray[Any]:
        return np.memmap(
            self.name, dtype=self.dtype, mode="r", offset=self.offset, shape=(self.size,)
        )
