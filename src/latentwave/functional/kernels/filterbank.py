"""The filterbank on a GPU: windows in registers, sub-bands never in memory.

All three kernels take tiles of windows, rows (token, channel) by W lags, and multiply them by the
taps of some filters at a time:

    forward    y = Σ_m a_m · ReLU(windows · taps_m)
    analysis   G += gatesᵀ · windows, with the gates [z > 0] ⊙ dy; one partial sum per program
    signal     dx(n) = Σ_t Σ_m gate_m(t) · a_m taps_m(n − t), n of one tile, t of all that reach it

Each recomputes z. No sum is atomic, so results are identical in every run. Products of
bfloat16 and float16 are summed in float32; float32 is multiplied as three TF32 products, whose
error is that of float32.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# ruff: noqa: PLR0917
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from latentwave.functional.filterbank_grid import Placement
from latentwave.functional.kernels.filterbank_tiles import (
    analysis_tiles,
    forward_tiles,
    signal_tiles,
)
from latentwave.functional.kernels.operators import PRECISION, takes
from latentwave.functional.segments import document_bounds

LONGEST_WINDOW = 128
"""Windows are kept in registers, so longer kernels use the plain form."""
_TAP_BYTES = 8192
_PROGRAMS = 1024  # for the sums over tokens: several per multiprocessor


def supports(x: Tensor, kernel_sizes: Sequence[int], history: int) -> bool:
    """Whether the kernels support a call; the plain form supports all."""
    return takes(x) and max(kernel_sizes) <= LONGEST_WINDOW and x.shape[1] > history


def filterbank(*inputs: Any) -> Tensor:
    """See `fused_filterbank`."""
    call = _Call.build(*inputs)
    y, MP = call.x.new_empty(call.B, call.T, call.D), call.taps.shape[1]
    steps = max(1, 8 // call.tile_tokens)
    grid = (triton.cdiv(call.T, call.tile_tokens * steps), call.channel_tiles, call.B)
    forward_tiles[grid](
        call.x, call.taps, call.weights, call.first, call.last, y,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, call.history,
        STEPS=steps, TT=call.tile_tokens, **call.constants,
    )  # fmt: skip
    return y


def filterbank_backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused_filterbank_backward`."""
    call, (x, analysis, weights, *_) = _Call.build(*inputs), inputs
    grad = grad.to(x.dtype).contiguous()
    (WP, MP), BM = call.taps.shape, int(call.constants["BM"])
    per_token = weights.dim() == 3

    tiles = call.B * triton.cdiv(call.T, call.tile_tokens)
    programs = min(tiles, max(1, _PROGRAMS // (MP // BM)))
    partial = x.new_empty(programs, MP, WP, dtype=torch.float32)
    grad_mask = x.new_empty(weights.shape if per_token else (0,), dtype=torch.float32)
    analysis_tiles[(programs, MP // BM)](
        grad, call.x, call.taps, call.weights, call.first, call.last, partial, grad_mask,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, call.history,
        tiles, TT=call.tile_tokens, **call.constants,
    )  # fmt: skip
    products = partial.sum(0)[: call.M, : call.placement.W]

    adjoint = call.taps if per_token else call.adjoint_taps()
    grad_x = torch.empty_like(call.x)
    outputs = min(64, WP)
    grid = (triton.cdiv(call.N, outputs), call.channel_tiles, call.B)
    signal_tiles[grid](
        grad, call.x, call.taps, adjoint, call.weights, call.first, call.last, grad_x,
        call.N, call.T, call.D, call.M, call.placement.W, MP, call.start, call.history,
        BN=outputs, **call.constants,
    )  # fmt: skip

    grad_analysis = call.placement.unplace(products)
    grad_weights = grad_mask
    if not per_token:
        grad_weights = (analysis.float() * grad_analysis).sum(1)
        grad_analysis = grad_analysis * call.weights[:, None]
    return grad_x, grad_analysis.to(analysis.dtype), grad_weights.to(weights.dtype)


class _Call(NamedTuple):
    """The arguments shared by the kernels of one call."""

    x: Tensor
    taps: Tensor
    """(WP, MP): the taps by lag, zero elsewhere."""
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
    history: int
    start: int
    """Start of the first output's window; negative before the first token."""
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
    ) -> "_Call":
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
            history=history,
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
