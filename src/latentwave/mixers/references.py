"""Simple mixers to compare with: moving average, short convolution, token shift."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from latentwave.functional.averages import Boundary, accumulation_dtype
from latentwave.mixers.channels import FirMixer
from latentwave.mixers.registry import register_mixer, register_preset
from latentwave.mixers.short_kernels import KernelInit, initial_kernels, short_kernel
from latentwave.mixers.wavelet import WaveletMixer


@register_mixer("moving_average")
class MovingAverageMixer(WaveletMixer):
    """Replace a share of the channels with moving averages over one window: a single scale.

        y_j(t) = (1/w) · Σ_{m=0}^{w−1} x_j(t−m)

    Args:
        channels, context_length, fraction, mixed, residual: see `ChannelMixer`.
        window: w in tokens, a power of two, 2 … L; default 4.
        level: log2 w, instead of the window.
        boundary: "zero" or "mean", see `WaveletMixer`.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − w + 1 … t).

    Reference: the single-scale ablation of WaveletGPT (Verma, 2024).

    Example:
        >>> MovingAverageMixer(2, 16, window=2)(torch.ones(1, 3, 2))[0, :, 1]
        tensor([0.5000, 1.0000, 1.0000])
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        window: int | None = None,
        level: int | None = None,
        fraction: float = 0.5,
        mixed: Literal["last", "first"] = "last",
        boundary: Boundary = "zero",
        residual: bool = False,
    ) -> None:
        if window is not None and level is not None:
            raise ValueError(f"pass either window or level, got window={window}, level={level}")
        if level is None:
            window = 4 if window is None else window
            if window < 2 or window > context_length or window & (window - 1):
                raise ValueError(
                    "window must be a power of two from 2 to the context length "
                    f"{context_length}, got {window}"
                )
            level = window.bit_length() - 1
        super().__init__(
            channels,
            context_length,
            level=level,
            fraction=fraction,
            mixed=mixed,
            boundary=boundary,
            residual=residual,
        )


@register_mixer("short_conv")
class ShortConvMixer(FirMixer):
    """A short causal depthwise convolution with a residual.

        y_j(t) = x_j(t) + Σ_{k=0}^{K−1} taps_j(k) · x_j(t−k)

    It starts as the identity, or adds averages with init="haar".

    Reference: the canon layer (Allen-Zhu, 2025) and the short convolutions of linear-attention
    models, without an activation.

    Args:
        channels, context_length, fraction, mixed: see `ChannelMixer`.
        kernel_size: K, 1 … L; default 4, or L if that is shorter.
        residual: whether x is added; if False, tap 0 starts at 1, again the identity.
        init: initial taps: "zero", or "haar": averages over 2, 4, … tokens up to K, each in an
            equal share of the channels.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − K + 1 … t).

    Example:
        >>> mixer = ShortConvMixer(2, 16)
        >>> bool((mixer(torch.ones(1, 3, 2)) == 1).all()), mixer.num_parameters
        (True, 8)
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        kernel_size: int | None = None,
        fraction: float = 1.0,
        mixed: Literal["last", "first"] = "last",
        residual: bool = True,
        init: KernelInit = "zero",
    ) -> None:
        super().__init__(
            channels, context_length, fraction=fraction, mixed=mixed, residual=residual
        )
        self.kernel_size = short_kernel(kernel_size, context_length, init)
        self.init = init
        self.starts_as_identity = init == "zero"
        kernels = initial_kernels(self.num_mixed, self.kernel_size, init)
        if init == "zero" and not residual:
            kernels[:, 0] = 1.0
        self.kernels = self._parameter("kernels", kernels)

    def taps(self) -> Tensor:
        """The kernels, (C, K), without the residual."""
        return self.kernels


# On queries, keys and values too. Chosen for what it gained on sound and music, where the place
# decides: results/ladder-audio, results/ladder-music.
register_preset("best-audio", kind="short_conv", options={}, points=("qkv", "mlp"))


@register_mixer("token_shift")
class TokenShiftMixer(FirMixer):
    """Mix each token with the previous one by a learned gate per channel (one-token smear).

        y_j(t) = (1 − g_j) · x_j(t) + g_j · x_j(t−1),   g_j = σ(gate_j)

    Reference: the token shift of RWKV (Peng et al., 2023), with a gate that starts near 0, so
    that the layer starts near the identity.

    Args:
        channels, context_length, fraction, mixed: see `ChannelMixer`; L >= 2.
        initial_gate: g at the start, in (0, 1).

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − 1) and x(t).

    Example:
        >>> mixer = TokenShiftMixer(1, 16, initial_gate=0.25)
        >>> mixer(torch.tensor([[[4.0], [0.0]]])).flatten().detach()
        tensor([3., 1.])
    """

    kernel_size = 2

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        initial_gate: float = 0.02,
        fraction: float = 1.0,
        mixed: Literal["last", "first"] = "last",
    ) -> None:
        super().__init__(channels, context_length, fraction=fraction, mixed=mixed, residual=False)
        if context_length < 2:
            raise ValueError(f"context_length must be >= 2 for a shift, got {context_length}")
        if not 0 < initial_gate < 1:
            raise ValueError(f"initial_gate must be in (0, 1), got {initial_gate}")
        self.initial_gate = initial_gate
        logit = math.log(initial_gate / (1.0 - initial_gate))
        self.gate = self._parameter("gate", np.full(self.num_mixed, logit))

    def taps(self) -> Tensor:
        """The kernels, (C, 2): 1 − g and g, in float32 (float64 for float64)."""
        gate = self.gate.to(accumulation_dtype(self.gate.dtype)).sigmoid()
        return torch.stack([1.0 - gate, gate], dim=-1)
