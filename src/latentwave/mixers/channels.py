"""Base classes of mixers that act on a share of the channels."""

import abc
import math
from typing import Literal

import torch
from torch import Tensor

from latentwave.functional import causal_fir
from latentwave.mixers.base import Mixer
from latentwave.mixers.state import MixerState


class ChannelMixer(Mixer):
    """A mixer of the first or last C = fraction · D channels; the others pass unchanged.

    Subclasses implement `_mix_channels`, which sees the mixed channels alone.

    Args:
        channels, context_length: D and L.
        fraction: share of the channels that are mixed, in (0, 1]; fraction · D must be whole.
        mixed: which end of the channels is mixed, "last" or "first".
        residual: add the result to the channels instead of replacing them.

    Raises:
        ValueError: for values out of range.
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        fraction: float,
        mixed: Literal["last", "first"],
        residual: bool,
    ) -> None:
        super().__init__(channels, context_length)
        if mixed not in ("last", "first"):
            raise ValueError(f'mixed must be "last" or "first", got {mixed!r}')
        self.fraction = fraction
        self.num_mixed = _num_mixed(channels, fraction)
        self.mixed = mixed
        self.residual = residual
        self.first_mixed = channels - self.num_mixed if mixed == "last" else 0

    @property
    def mixed_range(self) -> tuple[int, int]:
        """See `Mixer.mixed_range`."""
        return self.first_mixed, self.first_mixed + self.num_mixed

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        start, stop = self.mixed_range
        whole = self.num_mixed == self.channels
        channels = x if whole else x[..., start:stop]
        result = self._mix_channels(channels, state, runs, padding_mask)
        if self.residual:
            result = channels + result
        return result if whole else torch.cat([x[..., :start], result, x[..., stop:]], dim=-1)

    @abc.abstractmethod
    def _mix_channels(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        """Mix the channels, (B, T, C) → (B, T, C); padded tokens are already zero."""


class FirMixer(ChannelMixer):
    """A `ChannelMixer` that filters each mixed channel with its own causal kernel.

    Attributes:
        kernel_size: K, the taps of the longest kernel.
    """

    kernel_size: int

    @property
    def receptive_field(self) -> int:
        """K tokens."""
        return self.kernel_size

    @abc.abstractmethod
    def taps(self) -> Tensor:
        """The kernels, (C, K), tap 0 on the current token."""

    def flops(self, num_tokens: int) -> int:
        """A multiplication and an addition per tap, as in direct convolution."""
        per_channel = 2 * self.receptive_field - 1 + self.residual
        return self.num_mixed * per_channel * num_tokens

    def _mix_channels(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        history = 0
        if state is not None:
            history = self.history
            x = state.extend("x", x, history=history)
        return causal_fir(x, self._taps_for(x), runs=runs, history=history)

    def _taps_for(self, x: Tensor) -> Tensor:
        return self.taps()


def _num_mixed(channels: int, fraction: float) -> int:
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    exact = channels * fraction
    if not math.isclose(exact, round(exact), abs_tol=1e-6) or round(exact) < 1:
        raise ValueError(
            f"fraction={fraction} of {channels} channels is {exact:g}, not a whole number >= 1: "
            "choose another fraction or an even width"
        )
    return round(exact)
