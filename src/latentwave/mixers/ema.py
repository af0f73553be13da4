"""Exponential moving averages with a spread of time constants."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latentwave.errors import UserError
from latentwave.functional import decaying_sums
from latentwave.functional.averages import accumulation_dtype
from latentwave.mixers.channels import ChannelMixer
from latentwave.mixers.constants import Constant
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.state import MixerState

_MAX_SPAN = 10**9  # tokens


@register_mixer("ema")
class EmaMixer(ChannelMixer):
    """Replace a share of the channels with exponential moving averages of different rates.

        y_j(t) = α_j · x_j(t) + (1 − α_j) · y_j(t−1),   y_j(−1) = 0
        α_j = 2 / (s_j + 1)

    The spans s_j run geometrically from `shortest` to `longest` over the channels; span s has the
    same centre of mass as a moving average over s tokens. The state is one number per channel.

    Reference: the recurrent averages of Mega (Ma et al., 2023) in their simplest form; spans as
    in the moving averages of WaveletGPT (Verma, 2024).

    Args:
        channels, context_length, fraction, mixed, residual: see `ChannelMixer`.
        shortest: span of the first mixed channel in tokens, > 1.
        longest: span of the last mixed channel; default L.
        learnable: whether the rates are parameters.

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(0 … t), with all but `tail_share` of the weight in the receptive field.

    Example:
        >>> mixer = EmaMixer(2, 16, shortest=3.0, longest=3.0)
        >>> mixer(torch.ones(1, 3, 2))[0, :, 1]
        tensor([0.5000, 0.7500, 0.8750])
    """

    tail_share = 1e-3
    _signal = "average"

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        shortest: float = 2.0,
        longest: float | None = None,
        learnable: bool = False,
        fraction: float = 0.5,
        mixed: Literal["last", "first"] = "last",
        residual: bool = False,
    ) -> None:
        super().__init__(
            channels, context_length, fraction=fraction, mixed=mixed, residual=residual
        )
        if longest is None:
            longest = max(float(context_length), shortest)
        if not 1 < shortest <= longest <= _MAX_SPAN:
            raise ValueError(
                f"spans must satisfy 1 < shortest <= longest <= {_MAX_SPAN}, got "
                f"shortest={shortest}, longest={longest}"
            )
        self.shortest, self.longest, self.learnable = shortest, longest, learnable
        rates = 2.0 / (np.geomspace(shortest, longest, self.num_mixed) + 1.0)
        if learnable:
            self.rate_logits = self._parameter("rate_logits", np.log(rates / (1.0 - rates)))
        else:
            self._rates, self._log_decay = Constant(rates), Constant(np.log1p(-rates))

    def rates(self) -> Tensor:
        """α of each mixed channel, (C,); fixed rates are float64 on the CPU."""
        if self.learnable:
            return self.rate_logits.sigmoid()
        return self._rates.on(torch.device("cpu"), torch.float64)

    @property
    def history(self) -> int:
        """One token: the last average."""
        return 1

    @property
    def receptive_field(self) -> int:
        """Tokens that carry all but `tail_share` of the slowest channel's weight.

        The weight beyond R tokens is (1 − α)^R; the response itself never ends.

        Raises:
            UserError: if a learned rate is 0 or not a number.
        """
        if self.learnable:
            slowest = F.logsigmoid(-self.rate_logits.detach().double()).max().item()
        else:
            slowest = self._log_decay.on(torch.device("cpu")).max().item()
        length = math.log(self.tail_share) / slowest if slowest < 0 else math.nan
        if not math.isfinite(length):
            raise UserError(
                f"a rate of this {self.kind!r} mixer became {1.0 - math.exp(slowest):g} in "
                "training, so its averages have no length: take an earlier checkpoint"
            )
        return max(2, math.ceil(length))

    def flops(self, num_tokens: int) -> int:
        """Two multiplications and an addition, and one addition if residual."""
        return self.num_mixed * (3 + self.residual) * num_tokens

    def _mix_channels(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        B, _, C = x.shape
        wide = accumulation_dtype(x.dtype)
        if self.learnable:
            logits = self.rate_logits.to(wide)
            # log(1 − σ(u)) without the difference, which rounds to 0 for fast rates.
            rates, log_decay = logits.sigmoid(), F.logsigmoid(-logits)
        else:
            rates = self._rates.on(x.device, wide)
            log_decay = self._log_decay.on(x.device, wide)
        signal = x.to(wide) * rates
        if state is not None:
            before = state.get("average")
            if before is None:
                before = signal.new_zeros(B, C)
            elif before.shape != (B, C):
                raise ValueError(
                    f"the state holds averages of shape {tuple(before.shape)} (batch, channels), "
                    f"but this call needs {(B, C)}: use one state per mixer and batch"
                )
            # The last average stands for the sum up to the previous token.
            signal = torch.cat([before.to(wide).unsqueeze(1), signal], dim=1)
        averages = decaying_sums(signal, log_decay, runs)
        if state is not None:
            state.put("average", state.newest(averages, 1)[:, 0])
            averages = averages[:, 1:]
        return averages.to(x.dtype)
