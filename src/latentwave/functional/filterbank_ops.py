"""The fused filterbank as two operators: a forward pass, and a backward pass that recomputes it.

With the windows of one token as the columns of rows (K, R), see `filterbank_grid`, the forward
pass is one GEMM, z = taps (M, K) · rows, a ReLU in place and the weighted sum over m.

Backward: with the gates g = [z > 0], fixed weights a and the incoming gradient dy (R),

    G          = g · (rows ⊙ dy)ᵀ                   (M, K)
    ∂ analysis = a ⊙ G,   ∂ a_m = Σ_k analysis_mk G_mk,   because ReLU(z) = g · z
    ∂ rows     = ((a ⊙ taps)ᵀ · g) ⊙ dy             (K, R)

so neither a nor dy multiplies the large (M, R) matrix, and the overlap-add of ∂ rows sums
contiguous rows. A tf_mask varies across columns, so it does multiply g. The backward pass splits
the columns into P lanes, the first axis of every matrix.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from latentwave.functional.averages import accumulation_dtype, full_precision
from latentwave.functional.filterbank_grid import Grid, Windows, clear
from latentwave.functional.filterbank_weighting import weighting_of
from latentwave.functional.kernels import TRITON

Gradients = tuple[Tensor, Tensor, Tensor]  # of x, analysis and weights
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
    """Sub-bands, ReLU and weighted sum, block by block; see `functional.causal_filterbank`."""
    grid = Grid(x, analysis.shape[0], kernel_sizes, history=history, causal=causal, in_lanes=False)
    if not grid.blocks:
        return x.new_empty(grid.B, grid.T, grid.D)
    dtype = accumulation_dtype(x.dtype)
    bands, placed = grid.bands(), grid.place(analysis, dtype)
    weighting = weighting_of(grid, weights, dtype)
    signal, documents = grid.windows(x), grid.documents(runs)
    out = grid.new_per_token(x, grid.D)
    heights = (grid.L, grid.M, grid.S)
    memory = [x.new_empty(height * grid.R, dtype=dtype) for height in heights]
    with full_precision(x.device):
        taps = [placed[band.filters, band.lags].t().contiguous() for band in bands]
        for block in grid.blocks:
            rows, z, y = (block.matrices(m, h) for m, h in zip(memory, heights, strict=True))
            block.unfolded(rows).copy_(block.cut(signal))
            windows = Windows(grid, block, rows, documents)
            weighting.enter(block)
            z = z.view(-1, grid.M)  # signals in rows, so that threads keep their signals
            subbands = [z[:, band.filters] for band in bands]
            for r, y_r in enumerate(y[0]):
                window = windows.at(r)[0][0]
                for i, band in enumerate(bands):
                    torch.mm(window[band.lags].t(), taps[i], out=subbands[i])
                weighting.sum(r, z.relu_(), y_r)
            block.cut(out).copy_(block.unfolded(y))
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
) -> Gradients:
    """The gradients of the inputs from that of the output, (B, T, D)."""
    grid = Grid(x, analysis.shape[0], kernel_sizes, history=history, causal=causal, in_lanes=True)
    if not grid.blocks:
        zero_x, zero_analysis, zero_weights = (
            each.new_zeros(each.shape) for each in (x, analysis, weights)
        )
        return zero_x, zero_analysis, zero_weights
    dtype = accumulation_dtype(x.dtype)
    bands, placed = grid.bands(), grid.place(analysis, dtype)
    weighting = weighting_of(grid, weights, dtype)
    signal, documents, grads = grid.windows(x), grid.documents(runs), grid.per_token(grad)
    grad_x = grid.new_sum(x, dtype)
    forward_taps = [placed[band.filters, band.lags].contiguous() for band in bands]
    products = [x.new_zeros(grid.P, *taps.shape, dtype=dtype) for taps in forward_taps]  # G
    heights = (grid.L, grid.L, grid.S, grid.W)
    memory = [x.new_empty(height * grid.R, dtype=dtype) for height in heights]
    band_memory = [x.new_empty(height * grid.R, dtype=dtype) for height in (grid.M, grid.W)]
    with full_precision(x.device):
        weighted = weighting.weigh(placed)
        adjoint_taps = [weighted[band.filters, band.lags].t().contiguous() for band in bands]
        for block in grid.blocks:
            P = block.num_lanes
            rows, grad_rows, dy, scaled = (
                block.matrices(m, h) for m, h in zip(memory, heights, strict=True)
            )
            block.unfolded(rows).copy_(block.cut(signal))
            block.unfolded(dy).copy_(block.cut(grads))
            grad_rows.zero_()
            windows = Windows(grid, block, rows, documents)
            weighting.enter(block)
            # All that does not depend on the token; bands share memory.
            plan = [
                (
                    band,
                    forward_taps[i].expand(P, -1, -1),
                    adjoint_taps[i].expand(P, -1, -1),
                    scaled[:, band.lags].mT,
                    products[i][:P],
                    block.matrices(band_memory[0], band.shape[0]),
                    block.matrices(band_memory[1], band.shape[1]),
                )
                for i, band in enumerate(bands)
            ]
            for r in range(grid.S):
                window, foreign = windows.at(r)
                dy_r = dy[:, r : r + 1]
                torch.mul(window, dy_r, out=scaled)
                for band, taps, adjoint, scaled_t, product, z, back in plan:
                    torch.bmm(taps, window[:, band.lags], out=z)
                    weighting.gate(r, band, z, dy_r)
                    product.baddbmm_(z, scaled_t)
                    torch.bmm(adjoint, z, out=back)
                    gradient = back if foreign is None else clear(back, foreign[:, band.lags])
                    grad_rows[:, r : r + grid.W][:, band.lags].addcmul_(gradient, dy_r)
            grid.add_windows(grad_x, block, grad_rows)
            weighting.leave(block)
        grad_placed = torch.zeros_like(placed)
        for band, product in zip(bands, products, strict=True):
            grad_placed[band.filters, band.lags] = product.sum(0)
        grad_analysis = grid.unplace(grad_placed)
        grad_weights = weighting.finish(analysis, grad_analysis)
    return (
        grid.sum_to_tokens(grad_x, x),
        grad_analysis.to(analysis.dtype),
        grad_weights.to(weights.dtype),
    )


# The reference form of both operators, on every device.
plain_filterbank: Callable[..., Tensor] = fused_filterbank._init_fn
plain_filterbank_backward: Callable[..., Gradients] = fused_filterbank_backward._init_fn


def _gpu_forms(x: Tensor, *others: Any) -> tuple[Callable[..., Tensor], Callable[..., Gradients]]:
    from latentwave.functional.kernels import filterbank as kernels

    *_, kernel_sizes, history, _ = others
    if kernels.supports(x, kernel_sizes, history):
        return kernels.filterbank, kernels.filterbank_backward
    return plain_filterbank, plain_filterbank_backward


if TRITON:
    fused_filterbank.register_kernel("cuda")(lambda *inputs: _gpu_forms(*inputs)[0](*inputs))
    fused_filterbank_backward.register_kernel("cuda")(
        lambda grad, *inputs: _gpu_forms(*inputs)[1](grad, *inputs)
    )


@fused_filterbank.register_fake
def _(x: Tensor, *others: Any) -> Tensor:
    *_, history, _ = others
    return x.new_empty(x.shape[0], x.shape[1] - history, x.shape[2])


@fused_filterbank_backward.register_fake
def _(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in inputs[:3])


_Layout = tuple[list[int], int, bool]  # kernel sizes, history, causal


class _Filterbank(torch.autograd.Function):
    """The gradients; `torch.func` could not transform them if the operator registered them.

    Both forward passes spell out their arguments, because compilers count them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, analysis: Tensor, weights: Tensor, runs: Tensor | None, layout: _Layout
    ) -> Tensor:
        return cast(Tensor, fused_filterbank(x, analysis, weights, runs, *layout))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.layout = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, analysis, weights, runs = ctx.saved_tensors
        gradients = _Gradients.apply(*grad_outputs, x, analysis, weights, runs, ctx.layout)  # type: ignore[no-untyped-call]
        return *gradients, None, None


class _Gradients(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(  # noqa: PLR0917
        grad: Tensor,
        x: Tensor,
        analysis: Tensor,
        weights: Tensor,
        runs: Tensor | None,
        layout: _Layout,
    ) -> Gradients:
        return cast(Gradients, fused_filterbank_backward(grad, x, analysis, weights, runs, *layout))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> None:
        raise NotImplementedError(
            "the fused filterbank has no second derivative; differentiate naive_filterbank twice"
        )


def filterbank(
    x: Tensor, analysis: Tensor, weights: Tensor, runs: Tensor | None, layout: _Layout
) -> Tensor:
    """`fused_filterbank` with its gradients."""
    return cast(Tensor, _Filterbank.apply(x, analysis, weights, runs, layout))  # type: ignore[no-untyped-call]
