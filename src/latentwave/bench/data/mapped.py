"""Memory maps that travel to other processes by the name of their file."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MappedFile:
    """Enough of a memory map to open it in another process."""

    def __init__(self, array: np.memmap[Any, Any]) -> None:
        self._name = str(array.filename)
        self._dtype = array.dtype
        self._offset = array.offset
        self._size = len(array)

    def open(self) -> NDArray[Any]:
        """Map the file again, read-only."""
        return np.memmap(
            self._name, dtype=self._dtype, mode="r", offset=self._offset, shape=(self._size,)
        )


def by_name(array: NDArray[Any]) -> NDArray[Any] | MappedFile:
    """The mapped file of a vector; the vector itself if it is none.

    Pickling a memory map would copy all of it to each worker.
    """
    # Only the map itself knows its true offset; a slice of it repeats the map's.
    if isinstance(array, np.memmap) and array.ndim == 1 and isinstance(array.base, mmap.mmap):
        return MappedFile(array)
    return array


def opened(array: NDArray[Any] | MappedFile) -> NDArray[Any]:
    """The inverse of `by_name`."""
    return array.open() if isinstance(array, MappedFile) else array
