"""The causal FIR filter, which every convolution over tokens goes through."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.averages import accumulation_dtype, check_history, one_by_one
from latentwave.functional.fir_forms import convolve, correlate

LAG_TAPS = 8  # up to this many, a pass over memory per tap beats a depthwise convolution
FUSED_TAPS = 16  # the same when compiled, where every tap adds to the time to compile


def causal_fir(
    x: Float[Tensor, "B T C"],
    taps: Float[Tensor, "C K"],
    *,
    runs: Int[Tensor, "B T"] | None = None,
    history: int = 0,
) -> Float[Tensor, "B T-{history} C"]:
    """Filter every channel with its own causal kernel.

        y_c(t) = Σ_{k=0}^{K−1} taps_c(k) · x_c(t−k)

    Signals are zero before the first token. The first taps are summed directly, the others by FFTs
    over whole blocks of older tokens: no output depends on a later token, not even by rounding, and
    time and memory grow linearly with T (see `fir_forms`).

    Reference: partitioned convolution without look-ahead (Gardner, 1995), here with blocks that
    stop at document borders.

    Args:
        x: (B, T, C), any floating type.
        taps: (C, K), any floating type; `taps[:, 0]` multiplies the current token.
        runs: (B, T) from `segment_runs`: terms from other documents are zero.
        history: leading tokens of x, such as a streaming state, that have no output.

    Returns:
        (B, T − history, C) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: if the taps do not match the channels, or history is not in 0 … T.

    Causality: y(t) reads x(t − K + 1 … t).

    Example:
        >>> x = torch.tensor([[[1.0], [0.0], [2.0]]])
        >>> causal_fir(x, torch.tensor([[3.0, 1.0]])).flatten()
        tensor([3., 1., 6.])
    """
    B, T, C = x.shape
    if taps.ndim != 2 or taps.shape[0] != C or taps.shape[1] < 1:
        raise ValueError(
            f"taps must have shape ({C}, K >= 1), one row per channel of x, got {tuple(taps.shape)}"
        )
    check_history(history, T)
    taps = taps.to(accumulation_dtype(x.dtype))
    outputs = T - history
    if B == 0 or C == 0 or outputs == 0:
        # Empty, but with gradients to both inputs.
        return x[:, history:] * taps.sum()
    compiling = torch.compiler.is_compiling()
    few = taps.shape[1] <= (FUSED_TAPS if compiling else LAG_TAPS)
    if one_by_one(outputs, history) and not (compiling and few):
        return _single_outputs(x, taps, runs, outputs)
    if few:
        # A contiguous row per tap, because strided loads are slow.
        return shifted_sum(x, taps.T.contiguous().unbind(0), runs, outputs)
    return _convolve(x, taps, runs)[:, history:]


def dynamic_fir(
    x: Float[Tensor, "B N C"],
    taps: Float[Tensor, "B T K G"] | Sequence[Float[Tensor, "B T G"]],
    *,
    runs: Int[Tensor, "B N"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Filter every channel with a short causal kernel that changes from token to token.

        y_c(t) = Σ_{k=0}^{K−1} taps_{g(c)}(t, k) · x_c(t−k),   g(c) = ⌊c·G / C⌋

    Args:
        x: (B, N, C), N = H + T, any floating type; the first H tokens have no output.
        taps: (B, T, K, G), one kernel per token and group of C / G neighbouring channels; or a list
            of K lags, each (B, T, G).
        runs: (B, N) from `segment_runs`: terms from other documents are zero.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: if the taps do not match the channels or the tokens.

    Causality: y(t) reads x(t − K + 1 … t) and the taps of t.

    Reference: dynamic convolution (Wu et al., 2019), without a softmax over the taps.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> taps = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 10.0]]).view(1, 3, 2, 1)
        >>> dynamic_fir(x, taps).flatten()
        tensor([ 1.,  2., 20.])
    """
    B, N, C = x.shape
    K = taps.shape[2] if isinstance(taps, Tensor) else len(taps)
    if K < 1:
        raise ValueError("taps must have at least one lag, got none")
    first = taps if isinstance(taps, Tensor) else taps[0]
    T, G = first.shape[1], first.shape[-1]
    if G < 1 or C % G or T > N:
        raise ValueError(
            f"taps must be for at most the {N} tokens and for groups of the {C} channels of x, "
            f"got {K} for {T} tokens and {G} groups"
        )
    if isinstance(taps, Tensor) and T == 1 and N >= K and not torch.compiler.is_compiling():
        # One streamed token: a single reduction, in as few operations as possible.
        wide = accumulation_dtype(x.dtype)
        newest_first = (x if N == K else x[:, N - K :]).flip(1).to(wide)
        if runs is not None:
            same_document = (runs[:, N - K :] == runs[:, -1:]).flip(1)
            newest_first = newest_first * same_document.unsqueeze(-1)
        weights = taps[:, 0]
        if G < C:
            newest_first = newest_first.view(B, K, G, C // G)
            weights = weights.unsqueeze(-1)
        y = (newest_first * weights).sum(1, keepdim=True)
        return (y.flatten(2) if G < C else y).to(x.dtype)
    factors = taps.unbind(2) if isinstance(taps, Tensor) else taps
    grouped = x.reshape(B, N, G, C // G)
    return shifted_sum(grouped, [each.unsqueeze(-1) for each in factors], runs, T).flatten(2)


def _single_outputs(x: Tensor, taps: Tensor, runs: Tensor | None, outputs: int) -> Tensor:
    """The last few outputs, each one reduction over its window."""
    T, K = x.shape[1], taps.shape[1]
    newest_last = taps.flip(1).T
    results = []
    for t in range(T - outputs, T):
        start = max(0, t + 1 - K)
        window = x if (start, t + 1) == (0, T) else x[:, start : t + 1]
        weights = newest_last if start > 0 or t + 1 == K else newest_last[K - window.shape[1] :]
        if runs is not None:
            same_document = runs[:, start : t + 1] == runs[:, t : t + 1]
            window = window * same_document.unsqueeze(-1)
        results.append((window * weights).sum(1, keepdim=True))
    return (results[0] if outputs == 1 else torch.cat(results, dim=1)).to(x.dtype)


def shifted_sum(
    x: Tensor, factors: Sequence[Tensor], runs: Tensor | None, outputs: int, dilation: int = 1
) -> Tensor:
    """Σ_k factors[k] · x(t − k · dilation).

    x is (B, history + outputs, …), each factor broadcasts to (B, outputs, …).
    """
    missing = max(0, (len(factors) - 1) * dilation - (x.shape[1] - outputs))
    signal = F.pad(x, [*[0, 0] * (x.dim() - 2), missing, 0])
    documents = None if runs is None else F.pad(runs, (missing, 0), value=-1)
    if torch.compiler.is_compiling():  # which fuses these operations
        wide = accumulation_dtype(x.dtype)
        lags = _lags(signal.to(wide), documents, outputs, len(factors), dilation)
        terms = [_masked(lag, same) * factors[k].to(wide) for k, (lag, same) in enumerate(lags)]
        return functools.reduce(torch.add, terms).to(x.dtype)
    return cast(Tensor, _ShiftedSum.apply(signal, documents, outputs, dilation, *factors))  # type: ignore[no-untyped-call]


def _lags(
    signal: Tensor, documents: Tensor | None, outputs: int, count: int, dilation: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """x(t − k · dilation) for k < count, and a mask of those in the document of t (None: all)."""
    newest = signal.shape[1] - outputs
    for start in range(newest, newest - count * dilation, -dilation):
        lag = signal[:, start : start + outputs]
        if documents is None or start == newest:
            yield lag, None
        else:
            same = documents[:, start : start + outputs] == documents[:, newest:]
            yield lag, same.view(*same.shape, *[1] * (signal.dim() - 2))


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


class _ShiftedSum(torch.autograd.Function):
    """The sum over lags in place; autograd would write each lag several times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        signal: Tensor, documents: Tensor | None, outputs: int, dilation: int, *factors: Tensor
    ) -> Tensor:
        wide = accumulation_dtype(signal.dtype)
        first, *others = _lags(signal.to(wide), documents, outputs, len(factors), dilation)
        y = first[0] * factors[0].to(wide)
        for (lag, same), factor in zip(others, factors[1:], strict=True):
            y.addcmul_(_masked(lag, same), factor.to(wide))
        return y.to(signal.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        signal, documents, ctx.outputs, ctx.dilation, *factors = inputs
        ctx.save_for_backward(signal, documents, *factors)
        ctx.save_for_forward(signal, documents, *factors)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        signal, documents, *factors = ctx.saved_tensors
        wide = accumulation_dtype(signal.dtype)
        grad = grad_outputs[0].to(wide)
        grad_signal = grad.new_zeros(signal.shape)
        grad_factors: list[Tensor | None] = [None] * len(factors)
        sizes = (ctx.outputs, len(factors), ctx.dilation)
        shifted = _lags(grad_signal, documents, *sizes)
        lags = _lags(signal.to(wide), documents, *sizes)
        for k, ((lag, same), (grad_lag, _)) in enumerate(zip(lags, shifted, strict=True)):
            masked, factor = _masked(grad, same), factors[k]
            grad_lag.addcmul_(masked, factor.to(wide))
            if ctx.needs_input_grad[4 + k]:
                grad_factors[k] = (masked * lag).sum_to_size(factor.shape).to(factor.dtype)
        return grad_signal.to(signal.dtype), None, None, None, *grad_factors

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        signal, documents, *factors = ctx.saved_tensors
        along_signal, _, _, _, *along_factors = tangents
        inputs = [(along_signal, factors), (signal, along_factors)]  # the sum is linear in each
        sizes = (documents, ctx.outputs, ctx.dilation)
        first, second = (_ShiftedSum.apply(x, *sizes, *f) for x, f in inputs)  # type: ignore[no-untyped-call]
        return cast(Tensor, first + second)


# Compilers see long kernels as operators, the same for every T.
@torch.library.custom_op(
    "latentwave::convolve",
    mutates_args=(),
    schema="(Tensor x, Tensor taps, Tensor? runs) -> Tensor",
)
def _convolution(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    return convolve(x, taps, runs).contiguous()


_correlation = torch.library.custom_op(
    "latentwave::correlate",
    correlate,
    mutates_args=(),
    schema="(Tensor x, Tensor y, SymInt num_taps, Tensor? runs) -> Tensor",
)


@_convolution.register_fake
def _(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    return x.new_empty(x.shape)


@_correlation.register_fake
def _(x: Tensor, y: Tensor, num_taps: int, runs: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[2], num_taps)


def _convolve(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    return cast(Tensor, _Convolve.apply(x, taps, runs))  # type: ignore[no-untyped-call]


def _convolve_reversed(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    """The adjoint of the filter: the same filter, run backwards in time."""
    reversed_runs = None if runs is None else runs.flip(1)
    return _convolve(x.flip(1), taps, reversed_runs).flip(1)


def _correlate(x: Tensor, y: Tensor, num_taps: int, runs: Tensor | None) -> Tensor:
    return cast(Tensor, _Correlate.apply(x, y, num_taps, runs))  # type: ignore[no-untyped-call]


class _Convolve(torch.autograd.Function):
    """y = taps * x: bilinear, so its derivatives are a filter and a correlation."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
        form = _convolution if torch.compiler.is_compiling() else convolve
        return form(x.to(taps.dtype), taps, runs).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        x, taps, runs = ctx.saved_tensors
        grad_x = _convolve_reversed(grad, taps, runs) if ctx.needs_input_grad[0] else None
        grad_taps = _correlate(x, grad, taps.shape[1], runs) if ctx.needs_input_grad[1] else None
        return grad_x, grad_taps, None


class _Correlate(torch.autograd.Function):
    """c(k) = Σ_{b,t} y(t) · x(t−k), the gradient of the taps; also bilinear."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, num_taps: int, runs: Tensor | None) -> Tensor:
        dtype = accumulation_dtype(x.dtype)
        form = _correlation if torch.compiler.is_compiling() else correlate
        return form(x.to(dtype), y.to(dtype), num_taps, runs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, ctx.num_taps, runs = inputs
        ctx.save_for_backward(x, y, runs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        x, y, runs = ctx.saved_tensors
        grad_x = _convolve_reversed(y, grad, runs) if ctx.needs_input_grad[0] else None
        grad_y = _convolve(x, grad, runs) if ctx.needs_input_grad[1] else None
        return grad_x, grad_y, None, None
