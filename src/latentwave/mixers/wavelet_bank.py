"""A small bank of wavelet bands weighted by the current token."""

import numpy as np
from torch import Tensor, nn

from latentwave.functional import cascade_taps
from latentwave.mixers.constants import Constant, linear
from latentwave.mixers.dynamic import DynamicMixer
from latentwave.mixers.levels import dyadic_levels
from latentwave.mixers.registry import register_mixer


@register_mixer("wavelet_bank")
class WaveletBankMixer(DynamicMixer):
    """A bank of a few wavelet bands whose weights are linear in the current token.

        y_g(t) = x_g(t) + Σ_m a_{m,g}(t) · (h_m ∗ x_g)(t),   a(t) = A x(t) + b

    for each group g of channels, with the bands h: the token itself, the previous token, the Haar
    detail (x(t) − x(t−1)) / 2, and averages over 4, 8, …, 2^J tokens. A and b start at 0, so the
    mixer starts as the identity. The bands are combined before filtering, Σ_m a_m(t) h_m, so the
    work per channel is one kernel of 2^J taps for any number of bands.

    Reference: the averages of WaveletGPT (Verma, 2024) with weights that depend on the context,
    like masks in source separation (Luo and Mesgarani, 2019), here without a network.

    Attributes:
        weights: (M·G, D), A; rows m·G … (m + 1)·G − 1 are for band m.
        bias: (M·G,), b.
        bands: (M, 2^J), h, tap 0 on the current token, if `learned`; otherwise None.

    Args:
        channels, context_length: D and L.
        num_levels: J >= 1, 2^J at most L; default 3, or as many as fit. J = 1: no averages.
        num_groups: G, a divisor of D; default: D / 32, at least 1, or the next smaller divisor.
        learned: whether the bands are learned too, starting from those above.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − 2^J + 1 … t).

    Example:
        >>> mixer = WaveletBankMixer(64, 128, num_levels=2)
        >>> mixer.filters()
        tensor([[ 1.0000,  0.0000,  0.0000,  0.0000],
                [ 0.0000,  1.0000,  0.0000,  0.0000],
                [ 0.5000, -0.5000,  0.0000,  0.0000],
                [ 0.2500,  0.2500,  0.2500,  0.2500]])
    """

    starts_as_identity = True
    bands: nn.Parameter | None

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        num_levels: int | None = None,
        num_groups: int | None = None,
        learned: bool = False,
    ) -> None:
        super().__init__(channels, context_length)
        num_levels = dyadic_levels(num_levels, context_length, default=3)
        if num_groups is None:
            num_groups = max(1, channels // 32)
            while channels % num_groups:
                num_groups -= 1
        if num_groups < 1 or channels % num_groups:
            raise ValueError(f"num_groups must divide the {channels} channels, got {num_groups}")
        self.num_levels, self.num_groups, self.learned = num_levels, num_groups, learned
        self.kernel_size = 2**num_levels
        bands = np.zeros((num_levels + 2, self.kernel_size))
        bands[0, 0] = bands[1, 1] = 1.0
        bands[2, :2] = 0.5, -0.5
        for level in range(2, num_levels + 1):
            bands[level + 1, : 2**level] = cascade_taps("haar", level)
        self._fixed, self.num_bands = Constant(bands), len(bands)
        self.bands = self._parameter("bands", bands) if learned else None
        self.weights = self._parameter("weights", np.zeros((len(bands) * num_groups, channels)))
        self.bias = self._parameter("bias", np.zeros(len(bands) * num_groups))

    def filters(self) -> Tensor:
        """The bands, (M, 2^J), with the dtype and device of the weights."""
        if self.bands is not None:
            return self.bands
        return self._fixed.on(self.weights.device, self.weights.dtype)

    def token_taps(self, x: Tensor) -> Tensor:
        """The kernel of each token of x, (B, T, 2^J, G)."""
        weights = linear(x, self.weights, self.bias)
        per_band = weights.view(*x.shape[:2], self.num_bands, self.num_groups)
        return self.filters().T.to(weights.dtype) @ per_band

    def flops(self, num_tokens: int) -> int:
        """The weights, the combined kernels, and two operations per tap."""
        M, G, K, D = self.num_bands, self.num_groups, self.kernel_size, self.channels
        return (2 * M * G * D + M * G + 2 * M * K * G + 2 * K * D) * num_tokens
