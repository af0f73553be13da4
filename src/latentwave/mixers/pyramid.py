"""A learned weight for every dyadic average of every channel."""

from typing import Literal

import numpy as np
from torch import Tensor

from latentwave.functional import pyramid_sum
from latentwave.mixers.channels import ChannelMixer
from latentwave.mixers.constants import Constant
from latentwave.mixers.levels import dyadic_levels
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.running_sums import RunningSums
from latentwave.mixers.state import MixerState


@register_mixer("pyramid")
class PyramidMixer(ChannelMixer):
    """Add to each channel a learned combination of all its dyadic averages.

        y_c(t) = x_c(t) + Σ_{k=1}^{K} a_{k,c} · avg_{2^k}(x_c)(t)

    Each average comes from the previous one by doubling: a receptive field of 2^K tokens, up to L,
    for 4K operations and K parameters per channel. The weights start at 0, so the mixer starts as
    the identity. Infinities and NaN stay in its running sums as in those of `WaveletMixer`.

    Reference: the fixed averages of WaveletGPT (Verma, 2024), here all of them in each channel,
    with learned weights.

    Attributes:
        weights: (K, C), a.

    Args:
        channels, context_length, fraction, mixed: see `ChannelMixer`.
        num_levels: K >= 1, 2^K at most L; default: as many as fit.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − 2^K + 1 … t).

    Example:
        >>> mixer = PyramidMixer(4, 16)
        >>> mixer.weights.shape, mixer.receptive_field
        (torch.Size([4, 4]), 16)
    """

    starts_as_identity = True

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        num_levels: int | None = None,
        fraction: float = 1.0,
        mixed: Literal["last", "first"] = "last",
    ) -> None:
        super().__init__(channels, context_length, fraction=fraction, mixed=mixed, residual=True)
        self.num_levels = num_levels = dyadic_levels(num_levels, context_length)
        windows = 2 ** np.arange(1, num_levels + 1)[:, None]
        self._sums, self._scale = RunningSums(windows), Constant(1.0 / windows)
        self.weights = self._parameter("weights", np.zeros((num_levels, self.num_mixed)))

    @property
    def receptive_field(self) -> int:
        """The longest window, 2^K tokens."""
        return int(2**self.num_levels)

    @property
    def history(self) -> int:
        """The longest window: running sums subtract the token that leaves it."""
        return self.receptive_field

    def flops(self, num_tokens: int) -> int:
        """Per level two additions, a halving and a multiplication, plus the residual."""
        return self.num_mixed * (4 * self.num_levels + 1) * num_tokens

    def _mix_channels(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        if state is None:
            return pyramid_sum(x, self.weights, runs)
        scale = self._scale.on(x.device, self.weights.dtype)
        if not self._sums.can_step(x, runs):
            samples = state.extend("x", x, history=self.history)
            if runs is None:
                self._sums.prepare(state, x.device)
            return pyramid_sum(samples, self.weights, runs)[:, self.history :]
        return (self._sums.step(x, state) * (self.weights * scale)).sum(1, keepdim=True).to(x.dtype)
