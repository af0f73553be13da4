"""Look-up tables for long runs of small numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def look_up(table: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
    """`table[numbers]`, several times faster where both are bytes.

        out[i] = table[numbers[i]]

    Args:
        table: (entries,), longer than every number.
        numbers: (N,), unsigned integers.

    Returns:
        (N,), of the table's type.

    Example:
        >>> look_up(np.array([7, 5], dtype=np.uint8), np.array([1, 0, 1], dtype=np.uint8)).tolist()
        [5, 7, 5]
    """
    if table.dtype == np.uint8 and numbers.dtype == np.uint8:
        entries = table[:256].tobytes().ljust(256, b"\0")
        return np.frombuffer(numbers.tobytes().translate(entries), dtype=np.uint8)
    return table.take(numbers)
