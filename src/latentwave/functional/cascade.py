"""The causal undecimated (à trous) wavelet cascade."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentwave.functional.averages import accumulation_dtype, checked_sizes
from latentwave.functional.families import orthogonal_lowpass
from latentwave.functional.fir import shifted_sum


def dilated_fir(
    x: Float[Tensor, "B T C"],
    lowpass: Float[Tensor, "*C F"],
    dilation: int,
    runs: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Filter with taps that are `dilation` tokens apart.

        y(t) = Σ_n lowpass(n) · x(t − n · dilation)

    Args:
        x: (B, T, C), any floating type.
        lowpass: (F,), one kernel for all channels, or (C, F); tap 0 on the current token.
        dilation: tokens between two taps, >= 1.
        runs: (B, T) from `segment_runs`: terms from other documents are zero.

    Returns:
        (B, T, C) in the dtype of x.

    Raises:
        ValueError: if dilation < 1.

    Causality: y(t) reads x(t − (F−1) · dilation … t).

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> dilated_fir(x, torch.tensor([1.0, 1.0]), 2).flatten()
        tensor([1., 2., 5.])
    """
    if dilation < 1:
        raise ValueError(f"dilation must be >= 1, got {dilation}")
    return shifted_sum(x, lowpass.unbind(-1), runs, x.shape[1], dilation)


def causal_cascade(
    x: Float[Tensor, "B T C"],
    lowpass: Float[Tensor, " F"],
    group_sizes: Sequence[int],
    runs: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T C"]:
    """The causal wavelet approximation of every channel at the level of its group.

        a_0 = x,   a_k(t) = Σ_n g(n) · a_{k−1}(t − 2^{k−1} n)

    with a wavelet's low-pass filter g. Signals are zero before the first token.

    Args:
        x: (B, T, C), any floating type.
        lowpass: (F,), g, as from `orthogonal_lowpass`; g(0) on the current token.
        group_sizes: channels per level, level 1 first; they add up to C.
        runs: (B, T) from `segment_runs`: terms from other documents are zero.

    Returns:
        (B, T, C) in the dtype of x; sums are taken in float32 (float64 for float64).

    Raises:
        ValueError: for group sizes that do not add up to C.

    Causality: a_k(t) reads x(t − (F−1)(2^k − 1) … t), F the length of g.

    Reference: the algorithme à trous (Holschneider et al., 1989), one-sided. For Haar,
    `causal_moving_average` gives the same result faster.

    Example:
        >>> causal_cascade(torch.ones(1, 4, 2), torch.tensor([0.5, 0.5]), [1, 1])[0].T
        tensor([[0.5000, 1.0000, 1.0000, 1.0000],
                [0.2500, 0.5000, 0.7500, 1.0000]])
    """
    group_sizes = checked_sizes(group_sizes, x.shape[-1])
    approx = x.to(accumulation_dtype(x.dtype))
    finished = []
    for k, size in enumerate(group_sizes):
        approx = dilated_fir(approx, lowpass, 2**k, runs)
        finished.append(approx[..., :size])
        approx = approx[..., size:]
    return torch.cat(finished, dim=-1).to(x.dtype) if finished else x


def stationary_decomposition(
    x: Float[Tensor, "B T C"], wavelet: str, num_levels: int, runs: Int[Tensor, "B T"] | None = None
) -> tuple[list[Float[Tensor, "B T C"]], Float[Tensor, "B T C"]]:
    """Split every channel into detail bands and an approximation, without look-ahead or delay.

        a_0 = x,   a_k(t) = Σ_n g(n) · a_{k−1}(t − 2^{k−1} n),   d_k = a_{k−1} − a_k

    PyWavelets takes its details from a high-pass filter; inverting that needs future tokens or a
    delay of (F−1)(2^K − 1) tokens. Differences of approximations add up to the signal at once, even
    at document borders. For Haar both are the same up to scale.

    Args:
        x: (B, T, C), any floating type.
        wavelet: the PyWavelets name of an orthogonal wavelet.
        num_levels: K >= 1.
        runs: (B, T) from `segment_runs`: documents are decomposed separately.

    Returns:
        The details of levels 1 … K and the approximation of level K, each (B, T, C), in float32
        (float64 for float64 input).

    Raises:
        ValueError: for a wavelet that is not orthogonal, or num_levels < 1.

    Causality: every band at t reads x(≤ t).

    Reference: the additive à trous transform (Starck and Murtagh, 1994), one-sided.

    Example:
        >>> x = torch.tensor([[[4.0], [2.0], [6.0]]])
        >>> details, approx = stationary_decomposition(x, "haar", 1)
        >>> details[0].flatten(), approx.flatten()
        (tensor([ 2., -1.,  2.]), tensor([2., 3., 4.]))
    """
    if num_levels < 1:
        raise ValueError(f"num_levels must be >= 1, got {num_levels}")
    approx = x.to(accumulation_dtype(x.dtype))
    lowpass = torch.from_numpy(orthogonal_lowpass(wavelet)).to(approx.dtype).to(x.device)
    details = []
    for k in range(num_levels):
        smoother = dilated_fir(approx, lowpass, 2**k, runs)
        details.append(approx - smoother)
        approx = smoother
    return details, approx


def stationary_reconstruction(
    details: Sequence[Float[Tensor, "B T C"]], approx: Float[Tensor, "B T C"]
) -> Float[Tensor, "B T C"]:
    """The inverse of `stationary_decomposition` up to rounding: x = a_K + d_K + … + d_1.

    Args:
        details: levels 1 … K, each (B, T, C).
        approx: (B, T, C), the approximation of level K.

    Returns:
        (B, T, C).

    Causality: x(t) reads the bands at t.

    Example:
        >>> x = torch.tensor([[[4.0], [2.0], [6.0]]])
        >>> stationary_reconstruction(*stationary_decomposition(x, "db2", 3)).flatten()
        tensor([4., 2., 6.])
    """
    return sum(reversed(details), start=approx)
