"""Causal moving averages over dyadic windows, by doubling."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.kernels import takes, window_sums

Boundary = Literal["zero", "mean"]

SINGLE_OUTPUTS = 4  # up to this many after a history, each is computed over its own window
VECTOR = 16  # float32 channels in the widest register of a CPU


def one_by_one(outputs: int, history: int) -> bool:
    """Whether to compute the outputs one by one, as in decoding."""
    # Compiled, a single one only: all longer calls share their code.
    largest = 1 if torch.compiler.is_compiling() else SINGLE_OUTPUTS
    return history > 0 and 0 < outputs <= largest


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums over tokens: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Disable autocast, which would round products and sums to 16 bits."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def check_boundary(boundary: str) -> None:
    """Raise ValueError unless boundary is a `Boundary`."""
    if boundary not in get_args(Boundary):
        raise ValueError(f'boundary must be "zero" or "mean", got {boundary!r}')


def check_history(history: int, num_tokens: int) -> None:
    """Raise ValueError unless `history` leading tokens can be left out of x."""
    if not 0 <= history <= num_tokens:
        raise ValueError(f"history must be in 0 … {num_tokens}, the tokens of x, got {history}")


def causal_moving_average(
    x: Float[Tensor, "B T D"],
    group_sizes: Sequence[int],
    *,
    boundary: Boundary = "zero",
    runs: Int[Tensor, "B T"] | None = None,
    valid: Float[Tensor, "B T"] | None = None,
    first_channel: int = 0,
    history: int = 0,
) -> Float[Tensor, "B T-{history} D"]:
    """Average every channel over the last w = 2^k tokens (the causal Haar approximation).

        y_j(t) = (1/w) · Σ_{m=0}^{w−1} x_j(t−m)                       boundary "zero"
        y_j(t) = Σ_m x_j(t−m) / Σ_m valid(t−m)                        boundary "mean"

    With "mean" and all tokens valid the divisor is min(t+1, w). Windows double,

        s_1(t) = x(t),   s_{2w}(t) = s_w(t) + s_w(t − w),

    so each value costs k additions, and the error does not grow with T as it would for differences
    of prefix sums. Signals are zero before the first token.

    Args:
        x: (B, T, D), any floating type. Invalid tokens must already be zero.
        group_sizes: channels per level, level 1 first; 0 is allowed. Channels beyond the last group
            pass unchanged.
        boundary: what comes before the first token: zeros ("zero") or nothing ("mean").
        runs: (B, T) from `segment_runs`: windows stop at document borders.
        valid: (B, T), 1 for real tokens and 0 for padding, default all 1; only "mean" reads it.
        first_channel: first channel of the first group.
        history: leading tokens of x, such as a streaming state, that have no output.

    Returns:
        (B, T − history, D) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: for an unknown boundary, or an invalid history, first channel or group sizes.

    Causality: y(t) reads x(t − w + 1 … t).

    Reference: WaveletGPT (Verma, 2024), whose boundary is "zero"; the doubling is the causal
    undecimated (à trous) Haar cascade.

    Example:
        >>> x = torch.tensor([[[4.0], [2.0], [6.0]]])
        >>> causal_moving_average(x, [1]).flatten()
        tensor([2., 3., 4.])
        >>> causal_moving_average(x, [1], boundary="mean").flatten()
        tensor([4., 3., 4.])
    """
    B, T, D = x.shape
    check_boundary(boundary)
    check_history(history, T)
    if not 0 <= first_channel <= D:
        raise ValueError(
            f"first_channel must be in 0 … {D}, the channels of x, got {first_channel}"
        )
    sizes = checked_sizes(group_sizes, D - first_channel, exactly=False)
    if not sizes:
        return x[:, history:].clone()
    dtype = accumulation_dtype(x.dtype)
    if boundary == "zero":
        valid = None
    elif valid is None:
        valid = x.new_ones(B, T, dtype=dtype)
    if one_by_one(T - history, history):
        plan = _Plan(sizes, first_channel)
        steps = [_average_at(t, x, valid, runs, plan) for t in range(history, T)]
        return torch.stack(steps, dim=1)
    if valid is None:
        plan = _Plan(sizes, first_channel, averaged=True)
        return _apply(x, None, runs, plan)[:, history:]
    levels = len(sizes)
    counts = valid.to(dtype).unsqueeze(-1).expand(B, T, levels)
    per_level = 1.0 / _apply(counts, None, runs, _Plan((1,) * levels)).clamp(min=1.0)
    per_size = zip(per_level.unbind(-1), sizes, strict=True)
    scale = torch.cat([one.unsqueeze(-1).expand(B, T, size) for one, size in per_size], dim=-1)
    return _apply(x, scale, runs, _Plan(sizes, first_channel))[:, history:]


def checked_sizes(
    group_sizes: Sequence[int], channels: int, exactly: bool = True
) -> tuple[int, ...]:
    """Group sizes as a tuple; they must add up to the channels, or to fewer unless `exactly`."""
    sizes = tuple(int(size) for size in group_sizes)
    total = sum(sizes)
    if any(size < 0 for size in sizes) or total > channels or (exactly and total < channels):
        raise ValueError(
            f"group_sizes must be >= 0 and add up to {'' if exactly else 'at most '}"
            f"the {channels} channels of x, got {list(sizes)}"
        )
    return sizes


class _Plan(NamedTuple):
    """The window of each channel, and the direction in time."""

    group_sizes: tuple[int, ...]
    first_channel: int = 0
    adjoint: bool = False
    averaged: bool = False  # divide each sum by its window


def _average_at(
    t: int, x: Tensor, valid: Tensor | None, runs: Tensor | None, plan: _Plan
) -> Tensor:
    """The average at token t, each level over its own window: (B, D)."""
    dtype = accumulation_dtype(x.dtype)
    same_document = None if runs is None else runs == runs[:, t : t + 1]
    if valid is not None and same_document is not None:
        valid = valid * same_document
    averages = [x[:, t, : plan.first_channel].to(dtype)]
    channel = plan.first_channel
    for level, size in enumerate(plan.group_sizes, start=1):
        tokens = slice(max(0, t + 1 - 2**level), t + 1)
        window = x[:, tokens, channel : channel + size]
        if same_document is not None:
            window = window * same_document[:, tokens].unsqueeze(-1)
        total = window.sum(1, dtype=dtype)
        if valid is None:
            averages.append(total * 2.0**-level)
        else:
            count = valid[:, tokens].sum(1, dtype=dtype).clamp(min=1.0)
            averages.append(total / count.unsqueeze(-1))
        channel += size
    averages.append(x[:, t, channel:].to(dtype))
    return torch.cat(averages, dim=-1).to(x.dtype)


def _apply(x: Tensor, scale: Tensor | None, runs: Tensor | None, plan: _Plan) -> Tensor:
    return cast(Tensor, _ScaledWindowSums.apply(x, scale, runs, plan))  # type: ignore[no-untyped-call]


class _ScaledWindowSums(torch.autograd.Function):
    """y = scale · S x with the window sums or averages S; channels outside the groups are copied.

    The adjoint Sᵀ (scale · x) is the same doubling towards earlier tokens.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: Tensor | None, runs: Tensor | None, plan: _Plan) -> Tensor:
        if takes(x):
            return cast(Tensor, window_sums(x, scale, runs, *plan))
        if torch.compiler.is_compiling():
            return _compiled_window_sums(x, scale, runs, plan)
        return _window_sums(x, scale, runs, plan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, scale, runs, ctx.plan = inputs
        ctx.save_for_backward(scale, runs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        scale, runs = ctx.saved_tensors
        opposite = ctx.plan._replace(adjoint=not ctx.plan.adjoint)
        return _apply(grad_outputs[0], scale, runs, opposite), None, None, None


def _compiled_window_sums(
    x: Tensor, scale: Tensor | None, runs: Tensor | None, plan: _Plan
) -> Tensor:
    """The doubling out of place, which compilers turn into one loop per level."""
    T = x.shape[1]
    first, stop = plan.first_channel, plan.first_channel + sum(plan.group_sizes)
    sums = x[..., first:stop].to(accumulation_dtype(x.dtype))
    if scale is not None and plan.adjoint:
        sums = sums * scale
    groups, done = [], 0
    for level, size in enumerate(plan.group_sizes):
        # Pad with zeros for any T: comparing T with the window would recompile for other lengths.
        padding = (0, 2**level) if plan.adjoint else (2**level, 0)
        moved = slice(-T, None) if plan.adjoint else slice(T)
        addend = F.pad(sums, (0, 0, *padding))[:, moved]
        if runs is not None:
            addend = addend * (F.pad(runs, padding)[:, moved] == runs).unsqueeze(-1)
        sums = sums + addend
        group = sums[..., done : done + size]
        groups.append(group * 0.5 ** (level + 1) if plan.averaged else group)
        # Drop finished channels in whole vectors: rows of odd width are slow.
        done += size
        sums, done = sums[..., done - done % VECTOR :], done % VECTOR
    y = torch.cat(groups, dim=-1)
    if scale is not None and not plan.adjoint:
        y = y * scale
    return torch.cat([x[..., :first], y.to(x.dtype), x[..., stop:]], dim=-1)


def _window_sums(x: Tensor, scale: Tensor | None, runs: Tensor | None, plan: _Plan) -> Tensor:
    first, count = plan.first_channel, sum(plan.group_sizes)
    y = x.clone(memory_format=torch.contiguous_format)
    summed = y[..., first : first + count]
    sums = summed.to(accumulation_dtype(x.dtype))
    if plan.averaged:
        # Filled on the device, to avoid a transfer.
        sizes = enumerate(plan.group_sizes, start=1)
        scale = torch.cat([sums.new_full((size,), 2.0**-level) for level, size in sizes])
    if scale is not None and plan.adjoint:
        sums.mul_(scale)
    # Each level finishes the channels of its group, so later levels work on fewer.
    channel = 0
    for level, size in enumerate(plan.group_sizes):
        window = 2**level
        if window >= x.shape[1]:
            break
        older, newer = sums[:, :-window, channel:], sums[:, window:, channel:]
        source, target = (newer, older) if plan.adjoint else (older, newer)
        if runs is None:
            addend = source.clone()
        else:
            addend = source * (runs[:, window:] == runs[:, :-window]).unsqueeze(-1)
        target.add_(addend)
        channel += size
    if scale is not None and not plan.adjoint:
        sums.mul_(scale)
    if sums.dtype != x.dtype:
        summed.copy_(sums)
    return y
