"""The learned time-frequency filterbank as a mixer."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from latentwave.functional import causal_filterbank, noncausal_filterbank, windowed_fourier_bank
from latentwave.mixers.base import Mixer
from latentwave.mixers.constants import copy_whole
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.state import MixerState

Init = Literal["random", "fourier"]
DEFAULT_WINDOW = 32  # tokens that a kernel reads, and the attention of an adaptive mask


class Bank(Mixer):
    """Base of the filterbanks: the analysis filters and their application.

    Attributes:
        analysis: (M, K), the filters; tap 0 is on the current token. In a multi-scale bank, taps
            beyond a filter's scale are zero, never read and get no gradient.
        kernel_sizes: the taps of each group of M / len(kernel_sizes) filters.
    """

    starts_as_identity = True

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        num_filters: int,
        kernel_size: int | None,
        kernel_sizes: Sequence[int] | None,
        init: Init,
        causal: bool,
    ) -> None:
        super().__init__(channels, context_length)
        if init not in ("random", "fourier"):
            raise ValueError(f'init must be "random" or "fourier", got {init!r}')
        self._check_width("num_filters", num_filters)
        self.kernel_sizes = _checked_sizes(num_filters, kernel_size, kernel_sizes, context_length)
        self.num_filters = num_filters
        self.kernel_size = max(self.kernel_sizes)
        self.init: Init = init
        self.causal = causal
        self.analysis = nn.Parameter(torch.empty(num_filters, self.kernel_size))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the filters, each with Σ_τ h_m(τ)² = 1 (random: on average)."""
        super().reset_parameters()
        like, sizes = self.analysis, self.kernel_sizes
        analysis = torch.zeros(like.shape, dtype=like.dtype, device=like.device)
        for filters, K in zip(analysis.chunk(len(sizes)), sizes, strict=True):
            if self.init == "random":
                filters[:, :K].normal_(std=1 / math.sqrt(K))
            else:
                # Each scale runs from one cycle per window to the start of the next shorter one.
                highest = min(1 / max((size for size in sizes if size < K), default=2), 1 / 2)
                bank = windowed_fourier_bank(len(filters), K, min(1 / K, highest), highest)
                filters[:, :K] = bank
        copy_whole(self.analysis, analysis)

    @property
    def receptive_field(self) -> int:
        """The longest kernel."""
        return self.kernel_size

    def flops(self, num_tokens: int) -> int:
        """Filters (two operations per tap), ReLU, weighted sum and residual."""
        taps = self.num_filters // len(self.kernel_sizes) * sum(self.kernel_sizes)
        return self.channels * (2 * taps + 3 * self.num_filters) * num_tokens

    def _runs(self, state: MixerState | None, segment_ids: Tensor | None) -> Tensor | None:
        if state is not None and not self.causal:
            raise ValueError(
                f"a {self.kind} with causal=False reads future tokens, so it cannot run with a "
                "state: call it on whole sequences"
            )
        return super()._runs(state, segment_ids)

    def _filter(
        self, x: Tensor, weights: Tensor, state: MixerState | None, runs: Tensor | None
    ) -> Tensor:
        """Add the weighted sub-bands to x; `runs` must cover the filters' past."""
        history = 0 if state is None else self.kernel_size - 1
        signal = x if state is None else state.extend("x", x, history=history)
        if runs is not None:
            runs = runs[:, runs.shape[1] - signal.shape[1] :]
        bank, sizes = (self.analysis, weights, runs), self.kernel_sizes
        if not self.causal:
            return x + noncausal_filterbank(x, *bank, kernel_sizes=sizes)
        return x + causal_filterbank(signal, *bank, kernel_sizes=sizes, history=history)


@register_mixer("filterbank")
class FilterbankMixer(Bank):
    """Split every channel into M sub-bands, rectify and weight them, and add their sum.

        y_i(t) = x_i(t) + Σ_m a_m · ReLU( Σ_{τ=0}^{K−1} h_m(τ) · x_i(t−τ) )

    A two-layer convolutional network along the tokens, shared by all channels. The weights start
    at 0, so the mixer starts as the identity and can join a trained model; the first step changes
    only the weights.

    Reference: a learned front end as in audio recognition (Sainath et al., 2015), here on the
    activations of a language model.

    Attributes:
        analysis: (M, K), see `Bank`.
        weights: (M,), a_m.

    Args:
        channels, context_length: D and L.
        num_filters: M, at most 8 D or 1024.
        kernel_size: K taps, at most L; default 32, or L if that is shorter.
        kernel_sizes: sizes of a multi-scale bank instead, e.g. [4, 8, 16, 32, 64]: one group of
            M / len(kernel_sizes) filters per size.
        init: initial filters: "random" (normal), or "fourier": windowed cosines in quadrature at
            log-spaced frequencies; in a multi-scale bank each scale covers the octaves from one
            cycle per window up to the next shorter scale (constant Q).
        causal: False centres the filters on the token, for encoders, without streaming state.

    Raises:
        ValueError: for kernels longer than the context, M not divisible by the number of scales,
            and other values out of range; at a call, for a state with causal=False.

    Causality: y(t) reads x(t − K + 1 … t); with causal=False, K tokens around t.

    Example:
        >>> mixer = FilterbankMixer(8, 64, num_filters=6, kernel_sizes=[4, 8, 16])
        >>> mixer.analysis.shape, mixer.weights.shape, mixer.receptive_field
        (torch.Size([6, 16]), torch.Size([6]), 16)
        >>> x = torch.ones(1, 3, 8)
        >>> torch.equal(mixer(x), x)
        True
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        num_filters: int = 144,
        kernel_size: int | None = None,
        kernel_sizes: Sequence[int] | None = None,
        init: Init = "random",
        causal: bool = True,
    ) -> None:
        super().__init__(
            channels,
            context_length,
            num_filters=num_filters,
            kernel_size=kernel_size,
            kernel_sizes=kernel_sizes,
            init=init,
            causal=causal,
        )
        self.weights = self._parameter("weights", np.zeros(num_filters))
        self.reset_parameters()

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        return self._filter(x, self.weights, state, runs)


def _checked_sizes(
    num_filters: int,
    kernel_size: int | None,
    kernel_sizes: Sequence[int] | None,
    context_length: int,
) -> list[int]:
    if kernel_sizes is None:
        default = min(DEFAULT_WINDOW, context_length)
        kernel_sizes = [default if kernel_size is None else kernel_size]
    elif kernel_size is not None:
        raise ValueError(
            "pass either kernel_size or kernel_sizes, got "
            f"kernel_size={kernel_size}, kernel_sizes={list(kernel_sizes)}"
        )
    sizes = [int(size) for size in kernel_sizes]
    if not sizes or min(sizes) < 1:
        raise ValueError(f"kernel_sizes must be one or more sizes >= 1, got {sizes}")
    if max(sizes) > context_length:
        raise ValueError(
            f"kernel sizes must not exceed the context length {context_length}, got {sizes}"
        )
    if num_filters % len(sizes):
        raise ValueError(
            f"num_filters must be a multiple of the {len(sizes)} kernel sizes {sizes}, "
            f"got {num_filters}"
        )
    return sizes
