"""The length and initial values of short learned kernels."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentwave.functional.families import cascade_taps
from latentwave.mixers.levels import channel_levels

KernelInit = Literal["zero", "haar"]


def short_kernel(kernel_size: int | None, context_length: int, init: KernelInit) -> int:
    """The checked number of taps of a short kernel; default 4, or L if that is shorter."""
    if init not in get_args(KernelInit):
        raise ValueError(f'init must be "zero" or "haar", got {init!r}')
    shortest = 2 if init == "haar" else 1
    size = min(4, context_length) if kernel_size is None else kernel_size
    if not shortest <= size <= context_length:
        why = " with init='haar'" if init == "haar" else ""
        raise ValueError(
            f"kernel_size must be between {shortest} and the context length {context_length}{why}, "
            f"got {size}"
        )
    return size


def initial_kernels(channels: int, kernel_size: int, init: KernelInit) -> NDArray[Any]:
    """(C, K): zeros, or averages over 2, 4, … tokens, each in an equal share of the channels.

    Example:
        >>> initial_kernels(2, 4, "haar")
        array([[0.5 , 0.5 , 0.  , 0.  ],
               [0.25, 0.25, 0.25, 0.25]])
    """
    kernels = np.zeros((channels, kernel_size))
    if init == "haar":
        for row, level in zip(kernels, channel_levels(channels, kernel_size), strict=True):
            row[: 2**level] = cascade_taps("haar", level)
    return kernels
