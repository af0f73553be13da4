"""Dispatch to Triton kernels, and the operator that exists only as one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

TRITON = find_spec("triton") is not None
"""Whether Triton is installed; the other modules here need it."""
PRECISION = "ieee" if torch.version.hip else "tf32x3"
"""float32 products as three TF32 products, with about the error of float32."""
_MAX_BATCHES = 65535  # limit of one axis of a kernel's grid
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def takes(x: Tensor) -> bool:
    """Whether the kernels support (B, T, C); the plain forms support every device and dtype."""
    return (
        TRITON
        and x.device.type == "cuda"
        and x.dtype in _DTYPES
        and x.numel() > 0
        and x.shape[0] <= _MAX_BATCHES
        # Triton's own minimum. Compilers cannot trace this check, and need Triton anyway.
        and (torch.compiler.is_compiling() or torch.cuda.get_device_capability(x.device)[0] >= 8)
    )


@torch.library.custom_op(
    "latentwave::window_sums",
    mutates_args=(),
    device_types="cuda",
    schema=(
        "(Tensor x, Tensor? scale, Tensor? runs, int[] group_sizes, int first_channel, "
        "bool adjoint, bool averaged) -> Tensor"
    ),
)
def window_sums(  # noqa: PLR0917
    x: Tensor,
    scale: Tensor | None,
    runs: Tensor | None,
    group_sizes: Sequence[int],
    first_channel: int,
    adjoint: bool,
    averaged: bool,
) -> Tensor:
    """Sum dyadic windows: scale · S x, or with `adjoint` Sᵀ (scale · x).

    Args:
        x: (B, T, C).
        scale: (channels of all groups,), or (B, T, channels of all groups); None: 1.
        runs: (B, T) from `segment_runs`, or None.
        group_sizes: channels per level, level 1 first.
        first_channel: where the first group starts; channels outside the groups are copied.
        adjoint: whether the sums run to later tokens, of values that are scaled already.
        averaged: whether each sum is divided by its window.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32.
    """
    from latentwave.functional.kernels import averages

    return averages.window_sums(x, scale, runs, group_sizes, first_channel, adjoint, averaged)


@window_sums.register_fake
def _like_x(x: Tensor, *others: object) -> Tensor:
    return x.new_empty(x.shape)
