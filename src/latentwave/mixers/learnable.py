"""Learnable wavelet mixing: one causal kernel per channel, initialised from a wavelet."""

from typing import Literal

import numpy as np
from torch import Tensor

from latentwave.functional import cascade_taps, orthogonal_lowpass
from latentwave.functional.averages import accumulation_dtype
from latentwave.functional.families import cascade_length, deepest_level
from latentwave.functional.lattice import cascade_kernels, lattice_angles, lattice_lowpass
from latentwave.mixers.channels import FirMixer
from latentwave.mixers.constants import Constant
from latentwave.mixers.levels import Schedule, channel_levels
from latentwave.mixers.registry import register_mixer

DEFAULT_MAX_TAPS = 16


@register_mixer("learnable_wavelet")
class LearnableWaveletMixer(FirMixer):
    """Filter a share of the channels with learned kernels that start as wavelet approximations.

        y_j(t) = Σ_{m=0}^{M−1} h_j(m) · x_j(t−m),   h_j = the level-k(j) cascade at first

    With `orthogonal`, the mixer learns the lattice angles of each channel's low-pass filter, which
    stays orthogonal with gain 1 at zero frequency, and h_j is its cascade: F/2 − 1 scalars per
    channel (Haar is padded with zeros to four taps: two leave nothing to learn).

    Reference: the learnable form of WaveletGPT (Verma, 2024); lattice of Vaidyanathan and Hoang
    (1988).

    Args:
        channels, context_length, fraction, mixed, residual: see `ChannelMixer`.
        wavelet, num_levels, level, schedule: the initial kernels, see `WaveletMixer`.
        max_taps: the longest kernel, 2 … L; channels whose kernel would be longer start at the
            deepest level that fits (for Haar: the truncated kernel, scaled to gain 1). The default,
            16 for free kernels and L for orthogonal ones, keeps the parameters at 0.5 % (0.03 %)
            of the published model.
        orthogonal: learn angles instead of taps.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − receptive_field + 1 … t).

    Example:
        >>> mixer = LearnableWaveletMixer(8, 16)
        >>> mixer.num_parameters, mixer.receptive_field
        (64, 16)
        >>> LearnableWaveletMixer(8, 16, orthogonal=True).num_parameters
        4
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        wavelet: str = "haar",
        fraction: float = 0.5,
        mixed: Literal["last", "first"] = "last",
        num_levels: int | None = None,
        level: int | None = None,
        schedule: Schedule | None = None,
        max_taps: int | None = None,
        orthogonal: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__(
            channels, context_length, fraction=fraction, mixed=mixed, residual=residual
        )
        lowpass = orthogonal_lowpass(wavelet)
        if orthogonal:
            lowpass = np.pad(lowpass, (0, max(0, 4 - len(lowpass))))
        if max_taps is None:
            shortest = max(DEFAULT_MAX_TAPS, len(lowpass))
            max_taps = context_length if orthogonal else min(shortest, context_length)
        elif not 2 <= max_taps <= context_length:
            raise ValueError(
                f"max_taps must be between 2 and the context length {context_length}, "
                f"got {max_taps}"
            )
        self.wavelet = wavelet
        self.max_taps = max_taps
        self.orthogonal = orthogonal
        requested = channel_levels(
            self.num_mixed,
            context_length,
            wavelet=wavelet,
            num_levels=num_levels,
            level=level,
            schedule=schedule,
        )
        deepest = deepest_level(len(lowpass), max_taps)
        if deepest < 1:
            name = "context_length" if max_taps == context_length else "max_taps"
            raise ValueError(
                f"{name} must be >= {len(lowpass)} to hold the filter of the wavelet "
                f"{wavelet!r}{' as angles' if orthogonal else ''}, got {max_taps}"
            )
        self.levels = [min(k, deepest) for k in requested]
        self.kernel_size = cascade_length(len(lowpass), max(self.levels))
        if orthogonal:
            angles = np.tile(lattice_angles(lowpass), (self.num_mixed, 1))
            self.angles = self._parameter("angles", angles)
            self._levels = Constant(np.array(self.levels))
        else:
            kernels = np.zeros((self.num_mixed, self.kernel_size))
            for row, k in zip(kernels, self.levels, strict=True):
                row[: cascade_length(len(lowpass), k)] = cascade_taps(wavelet, k)
            self.kernels = self._parameter("kernels", kernels)

    def taps(self) -> Tensor:
        """The kernels, (C, K), tap 0 on the current token; of angles in float32 or float64."""
        if self.orthogonal:
            # Rounded to 16 bits at every level, the filters would not be orthogonal.
            angles = self.angles.to(accumulation_dtype(self.angles.dtype))
            levels = self._levels.on(angles.device)
            return cascade_kernels(lattice_lowpass(angles), levels, max(self.levels))
        return self.kernels

    def extra_repr(self) -> str:
        """The options, for `print(model)`."""
        return f"{super().extra_repr()}, levels {min(self.levels)} to {max(self.levels)}"
