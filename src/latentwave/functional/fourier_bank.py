"""Initial analysis filters: a windowed Fourier (constant-Q) bank."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def windowed_fourier_bank(
    num_filters: int, kernel_size: int, lowest: float, highest: float
) -> Float[Tensor, "M K"]:
    """Pairs of filters in quadrature at centre frequencies spaced evenly on a log scale.

        h_m(τ) = n · w(τ) · cos(2π f_m (τ − (K−1)/2) ± π/4)
        f_m = lowest · (highest / lowest)^((j + 1/2) / J),   j = ⌊m/2⌋,   J = ⌈M/2⌉

    with a Hann window w that is nowhere zero, and n such that Σ_τ h_m(τ)² = 1. With phases of
    ± 45°, both filters of a pair are non-zero at every frequency, Nyquist included.

    Reference: constant-Q transform (Brown, 1991), with one window length per call: a bank per
    octave, each with its own length, makes the Q constant.

    Args:
        num_filters: M.
        kernel_size: K, taps.
        lowest: lower edge, cycles per token.
        highest: upper edge, cycles per token, at most 1/2.

    Returns:
        (M, K), float32.

    Raises:
        ValueError: for counts below 1, or edges that are not 0 < lowest <= highest <= 1/2.

    Example:
        >>> bank = windowed_fourier_bank(4, 16, 1 / 16, 1 / 2)
        >>> bank.square().sum(dim=1)
        tensor([1.0000, 1.0000, 1.0000, 1.0000])
    """
    if num_filters < 1 or kernel_size < 1:
        raise ValueError(
            "num_filters and kernel_size must be >= 1, got "
            f"num_filters={num_filters}, kernel_size={kernel_size}"
        )
    if not 0 < lowest <= highest <= 1 / 2:
        raise ValueError(
            "the edges must satisfy 0 < lowest <= highest <= 1/2 cycles per token, got "
            f"lowest={lowest}, highest={highest}"
        )
    M, K = num_filters, kernel_size
    J = math.ceil(M / 2)
    position = (torch.arange(J, dtype=torch.float64) + 0.5) / J
    frequency = (lowest * (highest / lowest) ** position).repeat_interleave(2)[:M, None]
    phase = math.pi / 4 * (1 - 2 * (torch.arange(M, dtype=torch.float64) % 2))[:, None]
    centred = torch.arange(K, dtype=torch.float64) - (K - 1) / 2
    window = torch.hann_window(K + 2, periodic=False, dtype=torch.float64)[1:-1]
    bank = window * torch.cos(2 * math.pi * frequency * centred + phase)
    return F.normalize(bank, dim=1).float()
