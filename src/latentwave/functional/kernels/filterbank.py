"""The filterbank on a GPU: windows in registers, and no value per filter ever in memory.

All three kernels take tiles of windows, rows (token, channel) by W lags, and multiply them by the
taps of some filters at a time:

    forward    y = Σ_m a_m · ReLU(windows · taps_m)
    analysis   G += gatesᵀ · windows, with the gates [z > 0] ⊙ dy; one partial sum per program
    signal     dx(n) = Σ_t Σ_m gate_m(t) · a_m taps_m(n − t), n of one tile, t of all that reach it

z is computed again in each. No sum is atomic, so results are the same in every run. Products of
bfloat16 and float16 are summed in float32; float32 is multiplied as three TF32 products, whose
error is that of float32.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-not-found,import-untyped"
# ruff: noqa: PLR0917
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from latentwave.functional.filterbank_grid import Placement
from latentwave.functional.kernels.documents import PRECISION, document_bounds
from latentwave.functional.kernels.operators import takes

LONGEST_WINDOW = 128
"""A window lies in registers, so longer kernels are left to the other form."""
# One kernel for all lengths: chunks and steps of streaming compile nothing new.
_LENGTHS = ("N", "T", "M", "W", "start", "history", "tiles")
_TAP_BYTES = 8192
_PROGRAMS = 1024  # of the sums over tokens: several for every multiprocessor


def supports(x: Tensor, kernel_sizes: Sequence[int], history: int) -> bool:
    """Whether the kernels take a call; the other form takes all.

    Args:
        x: (B, history + T, D).
        kernel_sizes: see `filterbank`.
        history: see `filterbank`.
    """
    return takes(x) and max(kernel_sizes) <= LONGEST_WINDOW and x.shape[1] > history


def filterbank(
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> Tensor:
    """See `fused_filterbank`."""
    call = _Call.build(x, analysis, weights, runs, kernel_sizes, history, causal)
    y, MP = x.new_empty(call.B, call.T, call.D), call.taps.shape[1]
    steps = max(1, 8 // call.tile_tokens)
    grid = (triton.cdiv(call.T, call.tile_tokens * steps), call.channel_tiles, call.B)
    _forward[grid](
        call.x, call.taps, call.weights, call.first, call.last, y,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, history,
        STEPS=steps, TT=call.tile_tokens, **call.constants,
    )  # fmt: skip
    return y


def filterbank_backward(
    grad: Tensor,
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused_filterbank_backward`."""
    call = _Call.build(x, analysis, weights, runs, kernel_sizes, history, causal)
    grad = grad.to(x.dtype).contiguous()
    (WP, MP), BM = call.taps.shape, int(call.constants["BM"])
    per_token = weights.dim() == 3

    tiles = call.B * triton.cdiv(call.T, call.tile_tokens)
    programs = min(tiles, max(1, _PROGRAMS // (MP // BM)))
    partial = x.new_empty(programs, MP, WP, dtype=torch.float32)
    grad_mask = x.new_empty(weights.shape if per_token else (0,), dtype=torch.float32)
    _grad_analysis[(programs, MP // BM)](
        grad, call.x, call.taps, call.weights, call.first, call.last, partial, grad_mask,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, history, tiles,
        TT=call.tile_tokens, **call.constants,
    )  # fmt: skip
    products = partial.sum(0)[: call.M, : call.placement.W]

    adjoint = call.taps if per_token else call.adjoint_taps()
    grad_x = torch.empty_like(call.x)
    outputs = min(64, WP)
    grid = (triton.cdiv(call.N, outputs), call.channel_tiles, call.B)
    _grad_signal[grid](
        grad, call.x, call.taps, adjoint, call.weights, call.first, call.last, grad_x,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, history,
        BN=outputs, **call.constants,
    )  # fmt: skip

    grad_analysis = call.placement.unplace(products)
    grad_weights = grad_mask
    if not per_token:
        grad_weights = (analysis.float() * grad_analysis).sum(1)
        grad_analysis = grad_analysis * call.weights[:, None]
    return grad_x, grad_analysis.to(analysis.dtype), grad_weights.to(weights.dtype)


class _Call(NamedTuple):
    """What the kernels of one call share."""

    x: Tensor
    taps: Tensor
    """(WP, MP): the taps by lags, zero where there are none."""
    weights: Tensor
    first: Tensor
    """(B, N): where the document of each token starts, and in `last` where it ends."""
    last: Tensor
    placement: Placement
    B: int
    N: int
    T: int
    D: int
    M: int
    start: int
    """Where the window of the first output starts, negative before the first token."""
    tile_tokens: int
    channel_tiles: int
    constants: dict[str, int | bool | str]

    @staticmethod
    def build(
        x: Tensor,
        analysis: Tensor,
        weights: Tensor,
        runs: Tensor | None,
        kernel_sizes: Sequence[int],
        history: int,
        causal: bool,
    ) -> _Call:
        (B, N, D), M = x.shape, analysis.shape[0]
        placement = Placement(M, kernel_sizes, causal)
        WP = max(16, triton.next_power_of_2(placement.W))
        # Filters at a time: more make better products, unless padding takes more than an eighth,
        # or the taps more than their share of shared memory.
        padded = {
            size: -(-M // size) * size
            for size in (64, 32, 16)
            if size * WP * x.itemsize <= _TAP_BYTES
        }
        BM = next((size for size, MP in padded.items() if 8 * (MP - M) <= MP), 16)
        MP = padded[BM]
        taps = x.new_zeros(WP, MP)
        taps[: placement.W, :M] = placement.place(analysis, torch.float32).T
        first, last = (x, x) if runs is None else document_bounds(runs)
        rows = 64 if x.dtype == torch.float32 else 128
        BD = min(rows, max(16, triton.next_power_of_2(D)))
        return _Call(
            x=x.contiguous(),
            taps=taps,
            weights=weights.float().contiguous(),
            first=first,
            last=last,
            placement=placement,
            B=B,
            N=N,
            T=N - history,
            D=D,
            M=M,
            start=history - placement.past,
            tile_tokens=rows // BD,
            channel_tiles=triton.cdiv(D, BD),
            constants={
                "WP": WP,
                "BM": BM,
                "BD": BD,
                "HAS_RUNS": runs is not None,
                "PER_TOKEN": weights.dim() == 3,
                "PRECISION": PRECISION,
            },
        )

    def adjoint_taps(self) -> Tensor:
        """The taps times the fixed weights."""
        adjoint = torch.zeros_like(self.taps)
        adjoint[:, : self.M] = self.taps[:, : self.M] * self.weights
        return adjoint


@triton.jit
def _windows(
    x, first, last, b, t, d, N, T, D, W, start, history,
    WP: tl.constexpr, HAS_RUNS: tl.constexpr,
):  # fmt: skip
    """The windows (rows, WP) of the tokens t and channels d; zero beyond their documents."""
    exists = (t < T) & (d < D)
    n = (t + start)[:, None] + tl.arange(0, WP)[None, :]
    inside = (n >= 0) & (n < N) & (tl.arange(0, WP) < W)[None, :] & exists[:, None]
    if HAS_RUNS:
        here = b.to(tl.int64) * N + history + t
        inside &= n >= tl.load(first + here, mask=exists, other=0)[:, None]
        inside &= n <= tl.load(last + here, mask=exists, other=-1)[:, None]
    return tl.load(x + b.to(tl.int64) * N * D + n * D + d[:, None], mask=inside, other=0.0)


@triton.jit
def _weights_of(
    weights, b, t, cols, T, M, TT: tl.constexpr, PER_TOKEN: tl.constexpr
):  # fmt: skip
    """The weights a (rows or 1, filters) of the filters `cols`."""
    if PER_TOKEN:
        # A tile of one token has one row of weights.
        at = tl.max(t, 0, keep_dims=True) if TT == 1 else t
        wanted = (at < T)[:, None] & (cols < M)[None, :]
        rows = (b.to(tl.int64) * T + at)[:, None]
        a = tl.load(weights + rows * M + cols[None, :], mask=wanted, other=0.0)
    else:
        a = tl.load(weights + cols, mask=cols < M, other=0.0)[None, :]
    return a


@triton.jit(do_not_specialize=_LENGTHS)
def _forward(
    x, taps, weights, first, last, y, N, T, D, M, W, MP, start, history,
    STEPS: tl.constexpr, TT: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr,
    HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2)
    rows = tl.arange(0, TT * BD)
    d = tl.program_id(1) * BD + rows % BD
    lags = tl.arange(0, WP)
    for step in range(STEPS):
        t = (tl.program_id(0) * STEPS + step) * TT + rows // BD
        signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
        total = tl.zeros((TT * BD, BM), tl.float32)
        for m in range(0, MP, BM):
            cols = m + tl.arange(0, BM)
            h = tl.load(taps + lags[:, None] * MP + cols[None, :])
            z = tl.dot(signal, h, input_precision=PRECISION)
            a = _weights_of(weights, b, t, cols, T, M, TT, PER_TOKEN)
            total += tl.maximum(z, 0.0) * a
        at = b.to(tl.int64) * T * D + t * D + d
        tl.store(y + at, tl.sum(total, 1).to(y.dtype.element_ty), mask=(t < T) & (d < D))


@triton.jit(do_not_specialize=_LENGTHS)
def _grad_analysis(
    grad, x, taps, weights, first, last, partial, grad_mask,
    N, T, D, M, W, MP, start, history, tiles,
    TT: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr,
    HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    rows = tl.arange(0, TT * BD)
    lags = tl.arange(0, WP)
    cols = tl.program_id(1) * BM + tl.arange(0, BM)
    h = tl.load(taps + lags[:, None] * MP + cols[None, :])
    product = tl.zeros((BM, WP), tl.float32)
    per_batch = (T + TT - 1) // TT
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        b = tile // per_batch
        first_token = tile % per_batch * TT
        t = first_token + rows // BD
        mask_sum = tl.zeros((TT, BM), tl.float32)
        a = _weights_of(weights, b, t, cols, T, M, TT, PER_TOKEN)
        for channel in range(0, D, BD):
            d = channel + rows % BD
            signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
            at = b.to(tl.int64) * T * D + t * D + d
            dy = tl.load(grad + at, mask=(t < T) & (d < D), other=0.0).to(tl.float32)[:, None]
            z = tl.dot(signal, h, input_precision=PRECISION)
            gate = tl.where(z > 0.0, dy, 0.0)
            if PER_TOKEN:
                parts = tl.reshape(z * gate, (TT, BD, BM))
                mask_sum += tl.sum(parts, 1)
                gate = gate * a
            product = tl.dot(
                tl.trans(gate.to(signal.dtype)), signal, product, input_precision=PRECISION
            )
        if PER_TOKEN:
            tokens = first_token + tl.arange(0, TT)
            there = (b.to(tl.int64) * T + tokens)[:, None] * M + cols[None, :]
            wanted = (tokens < T)[:, None] & (cols < M)[None, :]
            tl.store(grad_mask + there, mask_sum, mask=wanted)
    own = partial + tl.program_id(0).to(tl.int64) * MP * WP
    tl.store(own + cols[:, None] * WP + lags[None, :], product)


@triton.jit(do_not_specialize=_LENGTHS)
def _grad_signal(
    grad, x, taps, adjoint, weights, first, last, grad_x, N, T, D, M, W, MP, start, history,
    BN: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr,
    BD: tl.constexpr, HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2)
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    lags = tl.arange(0, WP)
    total = tl.zeros((BD, BN), tl.float32)
    # The outputs whose windows reach the tile.
    newest = tl.program_id(0) * BN - start
    for token in range(tl.maximum(newest - (W - 1), 0), tl.minimum(newest + BN, T)):
        t = token + tl.zeros((BD,), tl.int32)
        signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
        at = b.to(tl.int64) * T * D + t * D + d
        dy = tl.load(grad + at, mask=d < D, other=0.0).to(tl.float32)[:, None]
        lag = n - token - start
        reached = (lag >= 0) & (lag < W)
        if HAS_RUNS:
            here = b.to(tl.int64) * N + history + token
            reached &= (n >= tl.load(first + here)) & (n <= tl.load(last + here))
        for m in range(0, MP, BM):
            cols = m + tl.arange(0, BM)
            h = tl.load(taps + lags[:, None] * MP + cols[None, :])
            z = tl.dot(signal, h, input_precision=PRECISION)
            gate = tl.where(z > 0.0, dy, 0.0)
            if PER_TOKEN:
                gate = gate * _weights_of(weights, b, t, cols, T, M, 1, PER_TOKEN)
            back = tl.load(
                adjoint + lag[:, None] * MP + cols[None, :], mask=reached[:, None], other=0.0
            )
            total = tl.dot(gate.to(signal.dtype), tl.trans(back), total, input_precision=PRECISION)
    at = b.to(tl.int64) * N * D + n[None, :] * D + d[:, None]
    wanted = (n < N)[None, :] & (d < D)[:, None]
    tl.store(grad_x + at, total.to(grad_x.dtype.element_ty), mask=wanted)
