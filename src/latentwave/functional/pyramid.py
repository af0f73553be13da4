"""Weighted sums over a pyramid of dyadic averages, by doubling."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.averages import accumulation_dtype


def pyramid_sum(
    x: Float[Tensor, "B T C"], weights: Float[Tensor, "K C"], runs: Int[Tensor, "B T"] | None = None
) -> Float[Tensor, "B T C"]:
    """A weighted sum of every channel's averages over the last 2, 4, …, 2^K tokens.

        y_c(t) = Σ_{k=1}^{K} weights_{k,c} · avg_{2^k}(x_c)(t)
        avg_{2w}(t) = (avg_w(t) + avg_w(t − w)) / 2,   avg_1 = x

    The filter reaches 2^K tokens back with 4K operations per value. The backward pass recomputes
    the averages instead of storing them. Signals are zero before the first token.

    Args:
        x: (B, T, C), any floating type.
        weights: (K, C), row k − 1 for the averages over 2^k tokens.
        runs: (B, T) from `segment_runs`: terms from other documents are zero.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32 (float64 for float64).

    Causality: y(t) reads x(t − 2^K + 1 … t).

    Reference: the averages of WaveletGPT (Verma, 2024), all of them in each channel.

    Example:
        >>> x = torch.tensor([[[4.0], [2.0], [6.0]]])
        >>> pyramid_sum(x, torch.tensor([[1.0], [0.0]])).flatten()
        tensor([2., 3., 4.])
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return _weighted(x, weights, runs)
    return cast(Tensor, _Recomputed.apply(x, weights, runs))  # type: ignore[no-untyped-call]


def _weighted(x: Tensor, weights: Tensor, runs: Tensor | None) -> Tensor:
    wide = accumulation_dtype(x.dtype)
    average, total = x.to(wide), torch.zeros_like(x, dtype=wide)
    documents = None if runs is None else runs.unsqueeze(-1)
    for k, weight in enumerate(weights.to(wide)):
        earlier = _delayed(average, 2**k)
        if documents is not None:
            earlier = earlier * (_delayed(documents, 2**k) == documents)
        average = (average + earlier) * 0.5
        total = total + average * weight
    return total.to(x.dtype)


class _Recomputed(torch.autograd.Function):
    """The sum; its backward pass recomputes the averages."""

    generate_vmap_rule = True
    forward = staticmethod(_weighted)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weights, runs = ctx.saved_tensors
        pullback: Any = torch.func.vjp(lambda x, w: _weighted(x, w, runs), x, weights)[1]
        return *pullback(*grad_outputs), None


def _delayed(x: Tensor, tokens: int) -> Tensor:
    return F.pad(x, (0, 0, tokens, 0))[:, : x.shape[1]]
