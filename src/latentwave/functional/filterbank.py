"""Filterbanks along the token axis: sub-bands, ReLU and weighted sum, fused."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.averages import check_history
from latentwave.functional.filterbank_ops import filterbank


def causal_filterbank(
    x: Float[Tensor, "B N D"],
    analysis: Float[Tensor, "M K"],
    weights: Float[Tensor, " M"] | Float[Tensor, "B T M"],
    runs: Int[Tensor, "B N"] | None = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
    history: int = 0,
) -> Float[Tensor, "B T D"]:
    """Filter every channel with M shared filters, rectify, and sum the sub-bands with weights.

        y_i(t) = Σ_m a_m · ReLU( Σ_{τ=0}^{K−1} h_m(τ) · x_i(t−τ) )

    The (B, M, T, D) sub-bands are never stored: each block of windows is one GEMM, recomputed in
    the backward pass, so the extra memory is one block and a few copies of x. Signals are zero
    before the first token. There is no second and no forward-mode derivative.

    Reference: the learned front ends of audio models (a bank of FIR filters and a ReLU, as in
    Sainath et al., 2015), along the tokens of an embedding; `naive_filterbank` is the unfused form.

    Args:
        x: (B, N, D), N = H + T, any floating type.
        analysis: (M, K), the filters h_m; tap 0 is on the current token.
        weights: (M,), the weights a_m; or a tf_mask (B, T, M) of a_m(t).
        runs: (B, N) from `segment_runs`: filters stop at document borders.
        kernel_sizes: for a multi-scale bank, the taps of each of len(kernel_sizes) equal groups of
            filters; the longest is K. None: K for all.
        history: H, leading tokens of x, such as a streaming state, that have no output.

    Returns:
        (B, T, D) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: for invalid shapes, kernel sizes or history.

    Causality: y(t) reads x(t − K + 1 … t).

    Example:
        >>> x = torch.tensor([[[1.0], [4.0], [2.0]]])
        >>> rises_and_falls = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        >>> causal_filterbank(x, rises_and_falls, torch.tensor([1.0, 10.0])).flatten()
        tensor([ 1.,  3., 20.])
    """
    sizes = _checked(x, analysis, weights, runs=runs, kernel_sizes=kernel_sizes, history=history)
    return filterbank(x, analysis, weights, runs, (sizes, history, True))


def noncausal_filterbank(
    x: Float[Tensor, "B T D"],
    analysis: Float[Tensor, "M K"],
    weights: Float[Tensor, " M"] | Float[Tensor, "B T M"],
    runs: Int[Tensor, "B T"] | None = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> Float[Tensor, "B T D"]:
    """`causal_filterbank` with every filter centred on its token, for encoders.

        y_i(t) = Σ_m a_m · ReLU( Σ_{τ=0}^{K−1} h_m(τ) · x_i(t + ⌊(K−1)/2⌋ − τ) )

    Args:
        x: (B, T, D), any floating type.
        analysis: (M, K), the filters h_m; tap 0 is on the newest token.
        weights: (M,), or a tf_mask (B, T, M).
        runs: (B, T) from `segment_runs`: filters stop at document borders.
        kernel_sizes: see `causal_filterbank`; each group is centred separately.

    Returns:
        (B, T, D) in the dtype of x.

    Raises:
        ValueError: for invalid shapes or kernel sizes.

    Causality: none; y(t) reads x(t − ⌊K/2⌋ … t + ⌊(K−1)/2⌋).

    Example:
        >>> x = torch.tensor([[[1.0], [4.0], [2.0]]])
        >>> noncausal_filterbank(x, torch.ones(1, 3), torch.ones(1)).flatten()
        tensor([5., 7., 6.])
    """
    sizes = _checked(x, analysis, weights, runs=runs, kernel_sizes=kernel_sizes)
    return filterbank(x, analysis, weights, runs, (sizes, 0, False))


def naive_filterbank(
    x: Float[Tensor, "B T D"],
    analysis: Float[Tensor, "M K"],
    weights: Float[Tensor, " M"] | Float[Tensor, "B T M"],
    *,
    kernel_sizes: Sequence[int] | None = None,
    causal: bool = True,
) -> Float[Tensor, "B T D"]:
    """The same sum as `conv1d`, ReLU and weighted sum: the reference, with second derivatives.

    It stores B·D·M·T values several times.

    Args:
        x: (B, T, D), any floating type.
        analysis: (M, K).
        weights: (M,), or a tf_mask (B, T, M).
        kernel_sizes: see `causal_filterbank`.
        causal: False to match `noncausal_filterbank`.

    Returns:
        (B, T, D) in the dtype of x.

    Raises:
        ValueError: for invalid shapes or kernel sizes.

    Causality: as for `causal_filterbank`, unless `causal` is False.

    Example:
        >>> x = torch.tensor([[[1.0], [4.0], [2.0]]])
        >>> naive_filterbank(x, torch.tensor([[1.0, -1.0]]), torch.ones(1)).flatten()
        tensor([1., 3., 0.])
    """
    sizes = _checked(x, analysis, weights, kernel_sizes=kernel_sizes)
    B, T, D = x.shape
    signals = x.transpose(1, 2).reshape(B * D, 1, T)
    bands = []
    for filters, K in zip(analysis.chunk(len(sizes)), sizes, strict=True):
        ahead = 0 if causal else (K - 1) // 2
        padded = F.pad(signals, (K - 1 - ahead, ahead))
        bands.append(F.conv1d(padded, filters[:, :K].flip(1).unsqueeze(1)).relu())
    subbands = torch.cat(bands, dim=1).view(B, D, -1, T)
    per_token = weights if weights.dim() == 3 else weights.expand(B, T, -1)
    y = (subbands * per_token.transpose(1, 2).unsqueeze(1)).sum(2)
    return y.transpose(1, 2)


def _checked(
    x: Tensor,
    analysis: Tensor,
    weights: Tensor,
    *,
    runs: Tensor | None = None,
    kernel_sizes: Sequence[int] | None = None,
    history: int = 0,
) -> list[int]:
    """The kernel size of each group, once all arguments are checked."""
    if x.dim() != 3 or analysis.dim() != 2:
        raise ValueError(
            "x must have shape (batch, tokens, channels) and analysis (filters, taps), got "
            f"{tuple(x.shape)} and {tuple(analysis.shape)}"
        )
    B, tokens, _ = x.shape
    M, K = analysis.shape
    if M < 1 or K < 1:
        raise ValueError(f"analysis needs at least one filter of one tap, got shape {(M, K)}")
    check_history(history, tokens)
    mask_shape = (B, tokens - history, M)
    if tuple(weights.shape) != ((M,) if weights.dim() == 1 else mask_shape):
        raise ValueError(
            f"weights must have shape {(M,)}, or {mask_shape} for a tf_mask, got "
            f"{tuple(weights.shape)}"
        )
    if runs is not None and tuple(runs.shape) != (B, tokens):
        raise ValueError(f"runs must have shape {(B, tokens)}, got {tuple(runs.shape)}")
    sizes = [K] if kernel_sizes is None else [int(size) for size in kernel_sizes]
    if not sizes or min(sizes) < 1 or max(sizes) != K:
        raise ValueError(
            f"kernel_sizes must be >= 1, the longest equal to the {K} taps of analysis, got {sizes}"
        )
    if M % len(sizes):
        raise ValueError(
            f"{M} filters cannot be divided equally among the {len(sizes)} kernel sizes {sizes}"
        )
    return sizes
