"""Causal moving averages over dyadic windows, by doubling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

Boundary = Literal["zero", "mean"]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which sums over tokens are taken: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def dyadic_window_sums(
    x: Float[Tensor, "B T C"],
    group_sizes: Sequence[int],
    runs: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Sum every channel over the last 2^k tokens, k being the level of the channel's group.

    The first `group_sizes[0]` channels have level 1, the next `group_sizes[1]` level 2, and so
    on. Windows double,

        s_1(t) = x(t),   s_{2w}(t) = s_w(t) + s_w(t − w),

    so a value costs k additions, and no difference of long prefix sums is ever taken: the error
    does not grow with T. Signals are zero before the first token. With `runs`, terms of another
    document than t's count as zero.

    Args:
        x: (B, T, C), any floating type.
        group_sizes: channels per level, level 1 first; they add up to C. Zeros are allowed.
        runs: (B, T) from `segment_runs`, or None for one document.

    Returns:
        (B, T, C) in float32 (float64 for float64 input).

    Raises:
        ValueError: if the group sizes are negative or do not add up to C.

    Causality: the output at t reads x(t − 2^k + 1 … t).

    Reference: the windows of WaveletGPT (Verma, 2024); the doubling is the causal undecimated
    (à trous) Haar cascade.

    Example:
        >>> dyadic_window_sums(torch.ones(1, 4, 2), [1, 1])[0].T
        tensor([[1., 2., 2., 2.],
                [1., 2., 3., 4.]])
    """
    sizes = tuple(int(size) for size in group_sizes)
    if any(size < 0 for size in sizes) or sum(sizes) != x.shape[-1]:
        raise ValueError(
            f"group_sizes must be >= 0 and add up to the {x.shape[-1]} channels of x, "
            f"got {list(sizes)}"
        )
    return _apply(x, sizes, runs)


def causal_moving_average(
    x: Float[Tensor, "B T C"],
    group_sizes: Sequence[int],
    *,
    boundary: Boundary = "zero",
    runs: Int[Tensor, "B T"] | None = None,
    valid: Float[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Average every channel over the last w = 2^k tokens (the causal Haar approximation).

        y_j(t) = (1/w) · Σ_{m=0}^{w−1} x_j(t−m)                       boundary "zero"
        y_j(t) = Σ_m x_j(t−m) / Σ_m valid(t−m)                        boundary "mean"

    With "mean" and all tokens valid the divisor is min(t+1, w).

    Args:
        x: (B, T, C), any floating type. Invalid tokens must be zero already.
        group_sizes: channels per level, as in `dyadic_window_sums`.
        boundary: what stands before the first token: zeros, or nothing.
        runs: (B, T) from `segment_runs`: windows stop at document borders.
        valid: (B, T), 1 for tokens that count and 0 for padding; None means all. Only the
            boundary "mean" reads it.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: for an unknown boundary or group sizes that do not fit.

    Causality: the output at t reads x(t − w + 1 … t).

    Reference: WaveletGPT (Verma, 2024), whose boundary is "zero".

    Example:
        >>> x = torch.tensor([[[4.0], [2.0], [6.0]]])
        >>> causal_moving_average(x, [1]).flatten()
        tensor([2., 3., 4.])
        >>> causal_moving_average(x, [1], boundary="mean").flatten()
        tensor([4., 3., 4.])
    """
    sums = dyadic_window_sums(x, group_sizes, runs)
    if boundary == "zero":
        windows = [2.0**level for level in range(1, len(group_sizes) + 1)]
        per_channel = _repeat(torch.tensor(windows, dtype=sums.dtype, device=x.device), group_sizes)
        return (sums / per_channel).to(x.dtype)
    if boundary == "mean":
        B, T, _ = x.shape
        if valid is None:
            valid = torch.ones(B, T, dtype=sums.dtype, device=x.device)
        num_levels = len(group_sizes)
        counts = dyadic_window_sums(
            valid.to(sums.dtype).unsqueeze(-1).expand(B, T, num_levels), [1] * num_levels, runs
        )
        return (sums / _repeat(counts.clamp(min=1.0), group_sizes)).to(x.dtype)
    raise ValueError(f'boundary must be "zero" or "mean", got {boundary!r}')


def _repeat(per_level: Tensor, group_sizes: Sequence[int]) -> Tensor:
    """Spread a last axis of levels over the channels of each level."""
    parts = [
        per_level[..., level : level + 1].expand(*per_level.shape[:-1], size)
        for level, size in enumerate(group_sizes)
    ]
    return torch.cat(parts, dim=-1)


def _apply(x: Tensor, group_sizes: tuple[int, ...], runs: Tensor | None) -> Tensor:
    return cast(Tensor, _DyadicWindowSums.apply(x, group_sizes, runs))  # type: ignore[no-untyped-call]


class _DyadicWindowSums(torch.autograd.Function):
    """The doubling recursion; it is linear, so its backward is the same sums, time reversed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group_sizes: tuple[int, ...], runs: Tensor | None) -> Tensor:
        ctx.group_sizes = group_sizes
        ctx.dtype = x.dtype
        ctx.save_for_backward(runs)
        return _window_sums(x.to(accumulation_dtype(x.dtype)), group_sizes, runs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (runs,) = ctx.saved_tensors
        reversed_runs = None if runs is None else runs.flip(1)
        grad = _apply(grad_outputs[0].flip(1), ctx.group_sizes, reversed_runs)
        return grad.flip(1).to(ctx.dtype), None, None


def _window_sums(x: Tensor, group_sizes: tuple[int, ...], runs: Tensor | None) -> Tensor:
    # At every level the finished channels leave at the front, so later levels work on fewer.
    T = x.shape[1]
    finished = []
    window = 1
    for size in group_sizes:
        if window < T:
            longer = x.clone()
            if runs is None:
                longer[:, window:] += x[:, :-window]
            else:
                same_document = (runs[:, window:] == runs[:, :-window]).unsqueeze(-1)
                longer[:, window:] += x[:, :-window] * same_document
            x = longer
        window *= 2
        finished.append(x[..., :size])
        x = x[..., size:]
    return torch.cat(finished, dim=-1) if finished else x
