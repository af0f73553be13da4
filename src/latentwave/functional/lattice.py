"""Orthogonal low-pass filters parametrised by angles, so that they stay orthogonal in training."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentwave.functional.cascade import dilated_fir
from latentwave.functional.families import FloatArray, cascade_length

_TOLERANCE = 1e-6


def lattice_angles(lowpass: FloatArray) -> FloatArray:
    """The rotation angles of an orthogonal low-pass filter, the inverse of `lattice_lowpass`.

    Maps (F,), of even length and gain 1, to (F/2 − 1,), radians; the first angle is left out.

    Raises:
        ValueError: if the length is odd or below 2, or the angles do not reproduce the filter: it
            is not orthogonal, or as long as db12 or coif15, whose end taps are too small.

    Example:
        >>> lattice_angles(np.array([0.5, 0.5, 0.0, 0.0])).round(6)
        array([0.])
    """
    if len(lowpass) < 2 or len(lowpass) % 2:
        raise ValueError(f"lowpass must have an even number of taps, got {len(lowpass)}")
    low = np.asarray(lowpass, dtype=np.float64) * math.sqrt(2.0)
    high = -low[::-1] * (-1.0) ** np.arange(len(low))
    angles = []
    while len(low) > 2:  # undo one rotation, which frees two taps
        angle = math.atan2(low[-1], high[-1])
        cos, sin = math.cos(angle), math.sin(angle)
        low, high = (cos * low - sin * high)[:-2], (sin * low + cos * high)[2:]
        angles.append(angle)
    ordered = np.array(angles[::-1])
    error = np.abs(lattice_lowpass(torch.from_numpy(ordered)[None])[0].numpy() - lowpass).max()
    if error > _TOLERANCE:
        raise ValueError(
            f"the angles of this filter of {len(lowpass)} taps do not reproduce it (error "
            f"{error:.2g}): it is not orthogonal, or its end taps are too small"
        )
    return ordered


def lattice_lowpass(angles: Float[Tensor, "C M"]) -> Float[Tensor, "C 2*M+2"]:
    """Orthogonal low-pass filters of gain 1 at zero frequency, for any angles in radians.

        (h_0, g_0) = rotation(θ_0) · (1, z⁻¹),   (h_m, g_m) = rotation(θ_m) · (h_{m−1}, z⁻² g_{m−1})

    with θ_0 = π/4 − Σ_m θ_m, which sets the gain at zero frequency to 0 for g and to √2 for h,
    divided out at the end. Shifts of h by two taps stay orthonormal; tap 0 is on the current token.

    Reference: the paraunitary lattice of Vaidyanathan and Hoang (1988).

    Example:
        >>> lattice_lowpass(torch.zeros(1, 1))
        tensor([[0.5000, 0.5000, 0.0000, 0.0000]])
    """
    first = math.pi / 4 - angles.sum(1, keepdim=True)
    low = torch.cat([first.cos(), first.sin()], dim=1)
    high = torch.cat([-first.sin(), first.cos()], dim=1)
    for m in range(angles.shape[1]):
        cos, sin = angles[:, m : m + 1].cos(), angles[:, m : m + 1].sin()
        early = torch.nn.functional.pad(low, (0, 2))
        late = torch.nn.functional.pad(high, (2, 0))
        low, high = cos * early + sin * late, cos * late - sin * early
    return low / math.sqrt(2.0)


def cascade_kernels(
    lowpass: Float[Tensor, "C F"], levels: Int[Tensor, " C"], deepest: int
) -> Float[Tensor, "C K"]:
    """The cascade of each channel's own low-pass filter as one FIR filter, differentiably.

        h_k(t) = Σ_n lowpass(n) · h_{k−1}(t − 2^{k−1} n),   h_0(t) = [t = 0]

    K = (F − 1)(2^deepest − 1) + 1; the kernels of channels of lower levels end in zeros.

    Example:
        >>> cascade_kernels(torch.full((2, 2), 0.5), torch.tensor([1, 2]), 2)
        tensor([[0.5000, 0.5000, 0.0000, 0.0000],
                [0.2500, 0.2500, 0.2500, 0.2500]])
    """
    C, num_taps = lowpass.shape
    kernels = lowpass.new_zeros(1, cascade_length(num_taps, deepest), C)
    kernels[:, 0] = 1.0
    for k in range(deepest):
        kernels = torch.where(levels > k, dilated_fir(kernels, lowpass, 2**k), kernels)
    return kernels[0].T
