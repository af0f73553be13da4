"""Short kernels predicted from the current token."""

import abc
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentwave.functional import dynamic_fir
from latentwave.mixers.base import Mixer
from latentwave.mixers.constants import linear, reset_linear
from latentwave.mixers.registry import register_mixer, register_preset
from latentwave.mixers.short_kernels import KernelInit, initial_kernels, short_kernel
from latentwave.mixers.state import MixerState

# Up to this rank, compilers fuse the taps with the filter. One was as good as eight:
# results/screening-rank.
FUSED_RANK = 4


class DynamicMixer(Mixer):
    """Adds a short filter over the last K tokens whose taps the current token predicts.

    Attributes:
        kernel_size: K.
    """

    kernel_size: int

    @property
    def receptive_field(self) -> int:
        """K tokens."""
        return self.kernel_size

    @abc.abstractmethod
    def token_taps(self, x: Tensor) -> Tensor | Sequence[Tensor]:
        """The kernel of each token of x, in the format of `dynamic_fir`."""

    def added_kernels(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T K D"]:
        """The kernel of each channel at each token of x, with the gate, without the residual.

        A token of zeros has the part that all tokens share.
        """
        taps = self.token_taps(x)
        kernels = taps if isinstance(taps, Tensor) else torch.stack(list(taps), dim=2)
        kernels = kernels.repeat_interleave(self.channels // kernels.shape[-1], dim=-1)
        return kernels if self.fade_gate is None else kernels * self.fade_gate

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        signal = x if state is None else state.extend("x", x, history=self.history)
        return x + dynamic_fir(signal, self.token_taps(x), runs=runs)


@register_mixer("dynamic_conv")
class DynamicConvMixer(DynamicMixer):
    """A short causal convolution whose taps are linear in the current token, with a residual.

        y(t) = x(t) + Σ_{j=0}^{W−1} (b_j + [U V x(t)]_j) ⊙ x(t−j)

    U and, by default, b start at 0: the identity. With `kernel_size=1` it is a gate that mixes no
    tokens, a control that shows how much of a gain comes from mixing.

    Reference: dynamic convolution (Wu et al., 2019), here low-rank, per channel and without a
    softmax over the taps.

    Attributes:
        kernels: (W, D), b; kernels[0] multiplies the current token.
        down: (R, D), V.
        up: (R, W, D), U transposed; up[:, j] gives the taps of lag j.

    Args:
        channels, context_length: D and L.
        kernel_size: W, 1 … L; default 4, or L if that is shorter.
        rank: R, 1 … D; default D / 32, but 1 … 4.
        init: initial value of b: "zero", or "haar": averages over 2, 4, … tokens up to W, each in
            an equal share of the channels.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − W + 1 … t).

    Example:
        >>> mixer = DynamicConvMixer(64, 128)
        >>> mixer.num_parameters, mixer.receptive_field
        (896, 4)
        >>> x = torch.ones(1, 3, 64)
        >>> torch.equal(mixer(x), x)
        True
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        kernel_size: int | None = None,
        rank: int | None = None,
        init: KernelInit = "zero",
    ) -> None:
        super().__init__(channels, context_length)
        kernel_size = short_kernel(kernel_size, context_length, init)
        rank = min(max(1, channels // 32), FUSED_RANK) if rank is None else rank
        if not 1 <= rank <= channels:
            raise ValueError(f"rank must be between 1 and the {channels} channels, got {rank}")
        self.kernel_size, self.rank, self.init = kernel_size, rank, init
        self.starts_as_identity = init == "zero"
        self.kernels = self._parameter("kernels", initial_kernels(channels, kernel_size, init).T)
        self.down = nn.Parameter(torch.empty(rank, channels))
        self.up = self._parameter("up", np.zeros((rank, kernel_size, channels)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the kernels according to `init`, and U to 0."""
        super().reset_parameters()
        reset_linear(self.down)

    def token_taps(self, x: Tensor) -> Tensor | Sequence[Tensor]:
        """The kernel of each token of x, in the format of `dynamic_fir`."""
        code = linear(x, self.down)
        if x.shape[1] == 1:  # not addmm: for one row, CPUs read its result ten times slower
            taps = code @ self.up.view(self.rank, -1).to(code.dtype)
            return taps.view(x.shape[0], 1, self.kernel_size, self.channels) + self.kernels
        if torch.compiler.is_compiling() and self.rank <= FUSED_RANK:
            return [self._fused_taps(code, lag) for lag in range(self.kernel_size)]
        # b is one more row of U with constant input 1: adding it apart costs a copy and a sum. One
        # product per lag, because the gradient of a single product is slow on CPUs.
        code = F.pad(code, (0, 1), value=1.0)
        rows = torch.cat([self.up, self.kernels.unsqueeze(0)]).to(code.dtype)
        return [code @ each for each in rows.unbind(1)]

    def _fused_taps(self, code: Tensor, lag: int) -> Tensor:
        """The products spelled out, which compilers fuse with the filter: no tap is stored."""
        taps = self.kernels[lag]
        for number, row in zip(code.unbind(-1), self.up[:, lag], strict=True):
            taps = taps + number.unsqueeze(-1) * row
        return taps

    def flops(self, num_tokens: int) -> int:
        """The two products, the addition of b, and two operations per tap."""
        W, R = self.kernel_size, self.rank
        return self.channels * (2 * R + 2 * R * W + W + 2 * W) * num_tokens


# Four taps per channel, predicted from the token, before the MLP. Chosen for the compute it saved
# at three sizes on a strong plain decoder: results/ladder-gpu.
register_preset("best", kind="dynamic_conv", options={}, points=("mlp",))
