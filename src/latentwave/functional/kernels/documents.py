"""Helpers shared by the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

PRECISION = "ieee" if torch.version.hip else "tf32x3"
"""float32 products as three TF32 products, with about the error of float32."""


def document_bounds(runs: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last token of each token's document, (B, T); `runs` must not decrease."""
    runs = runs.contiguous()
    first = torch.searchsorted(runs, runs, out_int32=True)
    return first, torch.searchsorted(runs, runs, right=True, out_int32=True) - 1
