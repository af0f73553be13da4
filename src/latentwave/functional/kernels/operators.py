"""Whether Triton kernels can be used, and the operator for window sums on GPUs."""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

TRITON = find_spec("triton") is not None  # the other modules here import it
# Products of float32 as three of TF32, with about the error of float32.
PRECISION = "ieee" if torch.version.hip else "tf32x3"
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
        # Triton's own minimum; compilers cannot trace this check and need Triton anyway.
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
    """See `averages.window_sums`."""
    from latentwave.functional.kernels import averages

    return averages.window_sums(x, scale, runs, group_sizes, first_channel, adjoint, averaged)


@window_sums.register_fake
def _like_x(x: Tensor, *others: object) -> Tensor:
    return x.new_empty(x.shape)
