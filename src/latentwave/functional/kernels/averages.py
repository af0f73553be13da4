"""Dyadic window sums on a GPU: every channel in one pass, for any window.

A tile of tokens is the product of a band of ones, zero across document borders, with the tokens
that its windows reach. Wide windows cost more multiplications, which a GPU has to spare, but no
more memory. A NaN or an infinity spreads over its whole tile, earlier tokens included.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-not-found,import-untyped"
# ruff: noqa: PLR0917
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from latentwave.functional.kernels.operators import PRECISION
from latentwave.functional.segments import document_bounds

_TOKENS, _SOURCES = 64, 32  # tokens per tile, and per step over its inputs
_CHANNELS = (64, 32, 16)


def window_sums(
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
        adjoint: whether the windows reach to later tokens and values are scaled before the sum.
        averaged: whether each sum is divided by its window.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32.
    """
    B, T, C = x.shape
    x = x.contiguous()
    y = torch.empty_like(x)
    count = sum(group_sizes)
    # Channels outside the groups have windows of one token.
    groups = [(first_channel, 1), *((size, 2**k) for k, size in enumerate(group_sizes, start=1))]
    groups.append((C - first_channel - count, 1))
    tiles = {BC: sum(triton.cdiv(size, BC) for size, _ in groups) for BC in _CHANNELS}
    # Wide tiles, unless padding takes more than a quarter of them.
    BC = next((BC for BC in _CHANNELS if 3 * BC * tiles[BC] <= 4 * C), _CHANNELS[-1])
    starts, channels, windows, tile, channel = [], [], [], 0, 0
    for size, window in groups:
        if size > 0:
            starts.append(tile)
            channels.append(channel)
            windows.append(window)
        tile += triton.cdiv(size, BC)
        channel += size
    channels.append(C)
    per_token = scale is not None and scale.dim() == 3
    factors = x if scale is None else scale.contiguous()
    first, last = (x, x) if runs is None else document_bounds(runs)
    _sum[(triton.cdiv(T, _TOKENS), tile, B)](
        x, factors, first, last, y, T, C, first_channel, count,
        STARTS=tuple(starts), CHANNELS=tuple(channels), WINDOWS=tuple(windows),
        BT=_TOKENS, BS=_SOURCES, BC=BC, ADJOINT=adjoint, AVERAGED=averaged,
        HAS_SCALE=scale is not None, PER_TOKEN=per_token, HAS_RUNS=runs is not None,
        PRECISION=PRECISION,
    )  # fmt: skip
    return y


@triton.jit
def _scales(scale, b, t, c, T, first_channel, count, PER_TOKEN: tl.constexpr):
    """The factors of tokens t and channels c; 1 outside the groups."""
    index = c - first_channel
    inside = (index >= 0) & (index < count)
    if PER_TOKEN:
        at = (b.to(tl.int64) * T + t)[:, None] * count + index[None, :]
        factors = tl.load(scale + at, mask=(t < T)[:, None] & inside[None, :], other=1.0)
    else:
        factors = tl.load(scale + index, mask=inside, other=1.0)[None, :]
    return factors


@triton.jit(do_not_specialize=("T",))
def _sum(
    x, scale, first, last, y, T, C, first_channel, count,
    STARTS: tl.constexpr, CHANNELS: tl.constexpr, WINDOWS: tl.constexpr,
    BT: tl.constexpr, BS: tl.constexpr, BC: tl.constexpr, ADJOINT: tl.constexpr,
    AVERAGED: tl.constexpr, HAS_SCALE: tl.constexpr, PER_TOKEN: tl.constexpr,
    HAS_RUNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile, b = tl.program_id(1), tl.program_id(2)
    start, channel, stop, window = tile * 0, tile * 0, tile * 0, tile * 0
    for group in tl.static_range(len(WINDOWS)):
        reached = tile >= STARTS[group]
        start = tl.where(reached, STARTS[group], start)
        channel = tl.where(reached, CHANNELS[group], channel)
        stop = tl.where(reached, CHANNELS[group + 1], stop)
        window = tl.where(reached, WINDOWS[group], window)
    c = channel + (tile - start) * BC + tl.arange(0, BC)
    t0 = tl.program_id(0) * BT
    t = t0 + tl.arange(0, BT)
    signal = x + b.to(tl.int64) * T * C
    wanted = (t < T)[:, None] & (c < stop)[None, :]
    at = t[:, None] * C + c[None, :]
    if window == 1:
        tl.store(y + b.to(tl.int64) * T * C + at, tl.load(signal + at, mask=wanted), mask=wanted)
    else:
        if ADJOINT:
            low, high = t0, tl.minimum(T, t0 + BT + window - 1)
        else:
            low, high = tl.maximum(t0 - window + 1, 0) // BS * BS, tl.minimum(T, t0 + BT)
        if HAS_RUNS:
            there = b.to(tl.int64) * T + t
            oldest = tl.load(first + there, mask=t < T, other=0)[:, None]
            newest = tl.load(last + there, mask=t < T, other=0)[:, None]
        total = tl.zeros((BT, BC), tl.float32)
        for source in range(low, high, BS):
            s = source + tl.arange(0, BS)
            value = tl.load(
                signal + s[:, None] * C + c[None, :],
                mask=(s < T)[:, None] & (c < stop)[None, :],
                other=0.0,
            )
            if ADJOINT and PER_TOKEN:
                value = value.to(tl.float32)
                value *= _scales(scale, b, s, c, T, first_channel, count, PER_TOKEN)
            age = s[None, :] - t[:, None] if ADJOINT else t[:, None] - s[None, :]
            inside = (age >= 0) & (age < window)
            if HAS_RUNS:
                inside &= (s[None, :] >= oldest) & (s[None, :] <= newest)
            total = tl.dot(inside.to(value.dtype), value, total, input_precision=PRECISION)
        if AVERAGED:
            total *= 1.0 / window.to(tl.float32)
        if HAS_SCALE and not (ADJOINT and PER_TOKEN):
            total *= _scales(scale, b, t, c, T, first_channel, count, PER_TOKEN)
        tl.store(y + b.to(tl.int64) * T * C + at, total.to(y.dtype.element_ty), mask=wanted)
