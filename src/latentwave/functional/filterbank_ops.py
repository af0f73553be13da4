"""The fused filterbank as two opaque operators: forward, and a backward that recomputes it.

With the windows of one token as the columns of rows (K, R), see `filterbank_grid`, the forward
pass is one GEMM, z (M, R) = taps (M, K) · rows, a ReLU in place and the weighted sum over m.

Backward: with the gates g = [z > 0], fixed weights a and the incoming gradient dy (R),

    G          = g · (rows ⊙ dy)ᵀ                   (M, K)
    ∂ analysis = a ⊙ G,   ∂ a_m = Σ_k analysis_mk G_mk,   because ReLU(z) = g · z
    ∂ rows     = ((a ⊙ taps)ᵀ · g) ⊙ dy             (K, R)

so that neither a nor dy multiplies the large (M, R) matrix, and the overlap-add of ∂ rows is a
sum of contiguous rows. A tf_mask differs within the columns, so it does multiply g.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from latentwave.functional.averages import accumulation_dtype
from latentwave.functional.filterbank_grid import Band, Block, Grid, Windows, matrix

_INPUTS = (
    "Tensor x, Tensor analysis, Tensor weights, Tensor? runs, "
    "int[] kernel_sizes, SymInt history, bool causal"
)


@torch.library.custom_op("latentwave::filterbank", mutates_args=(), schema=f"({_INPUTS}) -> Tensor")
def fused_filterbank(  # noqa: PLR0917
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> Tensor:
    """Sub-bands, ReLU and weighted sum, block by block.

    Args:
        x: (B, history + T, D).
        analysis: (M, max(kernel_sizes)).
        weights: (M,), or a tf_mask (B, T, M).
        runs: (B, history + T) from `segment_runs`, or None.
        kernel_sizes: see `Grid`.
        history: see `Grid`.
        causal: see `Grid`.

    Returns:
        (B, T, D) in the dtype of x.
    """
    grid = Grid(x, analysis.shape[0], kernel_sizes, history, causal)
    if not grid.blocks:
        return x.new_empty(grid.B, grid.T, grid.D)
    dtype = accumulation_dtype(x.dtype)
    bands = grid.bands(analysis, dtype)
    weighting = _weighting(grid, weights, dtype)
    signal, documents = grid.windows(x), grid.documents(runs)
    out = grid.new_per_token(x, grid.D)
    heights = (grid.L, grid.M, grid.S)
    memory = [x.new_empty(height * grid.R, dtype=dtype) for height in heights]
    with torch.autocast(x.device.type, enabled=False):
        for block in grid.blocks:
            R = math.prod(block.shape)
            rows, z, y = (matrix(m, h, R) for m, h in zip(memory, heights, strict=True))
            rows.view(grid.L, *block.shape).copy_(block.cut(signal))
            windows = Windows(grid, block, rows, documents)
            weighting.enter(block)
            subbands = [z[band.filters] for band in bands]
            for r, out_r in enumerate(y):
                _analyse(bands, windows.at(r)[0], subbands)
                weighting.sum(r, z.relu_(), out_r)
            block.cut(out).copy_(y.view(grid.S, *block.shape))
    return grid.to_tokens(out)


@torch.library.custom_op(
    "latentwave::filterbank_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {_INPUTS}) -> (Tensor, Tensor, Tensor)",
)
def fused_filterbank_backward(  # noqa: PLR0917
    grad: Tensor,
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, analysis and weights, from that of the output, (B, T, D)."""
    grid = Grid(x, analysis.shape[0], kernel_sizes, history, causal)
    if not grid.blocks:
        return (
            x.new_zeros(x.shape),
            analysis.new_zeros(analysis.shape),
            weights.new_zeros(weights.shape),
        )
    dtype = accumulation_dtype(x.dtype)
    bands = grid.bands(analysis, dtype)
    weighting = _weighting(grid, weights, dtype)
    signal, documents, grads = grid.windows(x), grid.documents(runs), grid.per_token(grad)
    grad_x = grid.new_sum(x, dtype)
    products = [torch.zeros_like(band.taps) for band in bands]
    heights = (grid.L, grid.L, grid.M, grid.S, grid.W, grid.W)
    memory = [x.new_empty(height * grid.R, dtype=dtype) for height in heights]
    with torch.autocast(x.device.type, enabled=False):
        adjoint = [weighting.weigh(band).t().contiguous() for band in bands]
        for block in grid.blocks:
            R = math.prod(block.shape)
            rows, grad_rows, z, dy, scaled, back = (
                matrix(m, h, R) for m, h in zip(memory, heights, strict=True)
            )
            rows.view(grid.L, *block.shape).copy_(block.cut(signal))
            dy.view(grid.S, *block.shape).copy_(block.cut(grads))
            grad_rows.zero_()
            windows = Windows(grid, block, rows, documents)
            weighting.enter(block)
            # One view per band of everything that the GEMMs touch.
            subbands = [z[band.filters] for band in bands]
            inputs = [scaled[band.lags].t() for band in bands]
            outputs = [back[band.lags] for band in bands]
            for r, dy_r in enumerate(dy):
                window, foreign = windows.at(r)
                _analyse(bands, window, subbands)
                weighting.gate(r, z, dy_r)
                torch.mul(window, dy_r, out=scaled)
                # The first band reaches every lag, so it overwrites what was there.
                beta = 0
                for i, gates in enumerate(subbands):
                    products[i].addmm_(gates, inputs[i])
                    outputs[i].addmm_(adjoint[i], gates, beta=beta)
                    beta = 1
                if foreign is not None:
                    back.view(grid.W, -1, block.shape[2]).masked_fill_(foreign, 0)
                grad_rows[r : r + grid.W].addcmul_(back, dy_r)
            grid.add_windows(grad_x, block, grad_rows)
            weighting.leave(block)
        grad_analysis = torch.zeros_like(analysis, dtype=dtype)
        for band, product in zip(bands, products, strict=True):
            grad_analysis[band.filters, : band.taps.shape[1]] = product.flip(1)
        grad_weights = weighting.finish(analysis, grad_analysis)
    return (
        grid.sum_to_tokens(grad_x, x),
        grad_analysis.to(analysis.dtype),
        grad_weights.to(weights.dtype),
    )


class _FixedWeights:
    """Weights (M,): they and their gradient stay outside of the blocks."""

    def __init__(self, weights: Tensor, dtype: torch.dtype) -> None:
        self._weights = weights.to(dtype)
        self._zero = self._weights.new_zeros(())

    def enter(self, block: Block) -> None:
        """Start a block."""

    def sum(self, r: int, z: Tensor, out: Tensor) -> None:
        """Σ_m a_m z_m."""
        torch.mv(z.t(), self._weights, out=out)

    def gate(self, r: int, z: Tensor, dy: Tensor) -> None:
        """Turn z into g."""
        z.gt_(self._zero)

    def leave(self, block: Block) -> None:
        """End a block of the backward pass."""

    def weigh(self, band: Band) -> Tensor:
        """The taps of the adjoint."""
        return band.taps * self._weights[band.filters, None]

    def finish(self, analysis: Tensor, product: Tensor) -> Tensor:
        """∂ weights; turns the product G into ∂ analysis in place."""
        grad = (analysis.to(product.dtype) * product).sum(1)
        product.mul_(self._weights[:, None])
        return grad


class _TokenWeights:
    """A tf_mask (B, T, M): one weight per filter for all channels of a token."""

    def __init__(self, grid: Grid, tf_mask: Tensor, dtype: torch.dtype) -> None:
        self._grid, self._dtype = grid, dtype
        self._tf_mask = grid.per_token(tf_mask)
        self._grad = grid.new_per_token(tf_mask, grid.M).to(dtype)

    def enter(self, block: Block) -> None:
        """Start a block: fetch its masks as (S, pairs of batch and segment, M)."""
        S, M = self._grid.S, self._grid.M
        self._masks = block.cut_pairs(self._tf_mask).reshape(S, -1, M).to(self._dtype)
        self._grads = torch.empty_like(self._masks)
        self._channels = block.shape[2]

    def _per_pair(self, z: Tensor) -> Tensor:
        return z.view(self._grid.M, -1, self._channels).transpose(0, 1)

    def sum(self, r: int, z: Tensor, out: Tensor) -> None:
        """Σ_m a_m z_m."""
        out = out.view(-1, 1, self._channels)
        torch.bmm(self._masks[r].unsqueeze(1), self._per_pair(z), out=out)

    def gate(self, r: int, z: Tensor, dy: Tensor) -> None:
        """Turn z into a ⊙ g; keeps ∂ tf_mask, the sum of ReLU(z) ⊙ dy over channels."""
        per_pair = self._per_pair(z.relu_())
        dy = dy.view(-1, self._channels, 1)
        torch.bmm(per_pair, dy, out=self._grads[r].unsqueeze(-1))
        z.gt_(0)
        per_pair.mul_(self._masks[r].unsqueeze(-1))

    def leave(self, block: Block) -> None:
        """End a block: blocks that share tokens hold different channels, so their sums add."""
        part = block.cut_pairs(self._grad)
        part += self._grads.view(part.shape)

    def weigh(self, band: Band) -> Tensor:
        """The taps of the adjoint; the gates hold the weights."""
        return band.taps

    def finish(self, analysis: Tensor, product: Tensor) -> Tensor:
        """∂ tf_mask; G is ∂ analysis already."""
        return self._grid.to_tokens(self._grad)


def _weighting(grid: Grid, weights: Tensor, dtype: torch.dtype) -> _FixedWeights | _TokenWeights:
    if weights.dim() == 1:
        return _FixedWeights(weights, dtype)
    return _TokenWeights(grid, weights, dtype)


def _analyse(bands: list[Band], window: Tensor, subbands: list[Tensor]) -> None:
    """Write the sub-bands of a (W, R) window, one (filters, R) per band."""
    if len(bands) == 1:  # spares slicing, which counts at this rate
        torch.mm(bands[0].taps, window, out=subbands[0])
        return
    for band, out in zip(bands, subbands, strict=True):
        torch.mm(band.taps, window[band.lags], out=out)


@fused_filterbank.register_fake
def _(  # noqa: PLR0917
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1] - history, x.shape[2])


@fused_filterbank_backward.register_fake
def _(  # noqa: PLR0917
    grad: Tensor,
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    runs: Tensor | None,
    kernel_sizes: Sequence[int],
    history: int,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        x.new_empty(x.shape),
        analysis.new_empty(analysis.shape),
        weights.new_empty(weights.shape),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.kernel_sizes, ctx.history, ctx.causal = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    options = (ctx.kernel_sizes, ctx.history, ctx.causal)
    return *fused_filterbank_backward(grad, *ctx.saved_tensors, *options), None, None, None, None


def _no_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise NotImplementedError(
        "the fused filterbank has no second derivative; differentiate naive_filterbank twice"
    )


fused_filterbank.register_autograd(_backward, setup_context=_remember)
fused_filterbank_backward.register_autograd(_no_second_derivative)
