"""Fixed wavelets as a mixer: causal approximations at several scales, without parameters."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from latentwave.functional import (
    cascade_taps,
    causal_cascade,
    causal_fir,
    causal_moving_average,
    orthogonal_lowpass,
)
from latentwave.functional.averages import Boundary, accumulation_dtype, check_boundary, one_by_one
from latentwave.functional.families import cascade_length
from latentwave.mixers.channels import ChannelMixer
from latentwave.mixers.constants import Constant
from latentwave.mixers.levels import Schedule, channel_levels
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.running_sums import RunningSums
from latentwave.mixers.state import MixerState


@register_mixer("wavelet")
class WaveletMixer(ChannelMixer):
    """Replace a share of the channels with causal wavelet approximations of fixed levels.

        y_j = a_{k(j)},   a_0 = x_j,   a_k(t) = Σ_n g(n) · a_{k−1}(t − 2^{k−1} n)
        k(j) = 1 + ⌊j·K / C⌋

    for the C = fraction · D mixed channels, K levels and the wavelet's low-pass filter g of gain
    1; the other channels pass unchanged. With Haar, g = (1/2, 1/2), the approximation is the
    moving average over w = 2^k tokens. No parameters.

    With a state, single tokens update a running sum. An infinity or a NaN stays in it until a call
    with several tokens or a new state; in a whole sequence it is gone after its window.

    Reference: WaveletGPT (Verma, 2024), extended by other shares, schedules and wavelets, the
    residual form and the boundary "mean".

    Args:
        channels, context_length, fraction, mixed, residual: see `ChannelMixer`.
        wavelet: the PyWavelets name of an orthogonal wavelet.
        num_levels: K; default: the deepest level whose kernel of (F−1)(2^K − 1) + 1 taps fits
            into L, ⌊log2 L⌋ for Haar (F = 2).
        level: one level for all mixed channels (the single-scale ablation) instead of 1 … K.
        schedule: "halving": each level has half as many channels as the one below, up to
            num_levels; or a list of levels that share the mixed channels equally (one entry per
            channel sets each level explicitly).
        boundary: "zero": signals are zero before the first token (as in the paper); "mean": divide
            by the number of tokens in the window. Other wavelets than Haar have negative taps,
            whose sum over part of a window may vanish, so they support only "zero".

    Raises:
        ValueError: for values out of range.

    Causality: y(t) reads x(t − receptive_field + 1 … t).

    Example:
        >>> mixer = WaveletMixer(8, 16)
        >>> mixer.levels
        [1, 2, 3, 4]
        >>> mixer(torch.ones(1, 3, 8))[0, :, 4:]
        tensor([[0.5000, 0.2500, 0.1250, 0.0625],
                [1.0000, 0.5000, 0.2500, 0.1250],
                [1.0000, 0.7500, 0.3750, 0.1875]])
        >>> WaveletMixer(8, 16, wavelet="db2").levels
        [1, 1, 2, 2]
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
        boundary: Boundary = "zero",
        residual: bool = False,
    ) -> None:
        super().__init__(
            channels, context_length, fraction=fraction, mixed=mixed, residual=residual
        )
        check_boundary(boundary)
        lowpass = orthogonal_lowpass(wavelet)
        self._filter_length = len(lowpass)
        self._haar = self._filter_length == 2
        if boundary == "mean" and not self._haar:
            raise ValueError(
                f'boundary="mean" needs wavelet="haar", got wavelet={wavelet!r}, whose taps may '
                'sum to zero over part of a window: use boundary="zero"'
            )
        self.wavelet = wavelet
        self.boundary: Boundary = boundary
        self._can_slide = self._haar and boundary == "zero"
        self.levels = channel_levels(
            self.num_mixed,
            context_length,
            wavelet=wavelet,
            num_levels=num_levels,
            level=level,
            schedule=schedule,
        )

        # The recursion over levels needs the channels sorted by level.
        order = np.argsort(self.levels, kind="stable")
        self._group_sizes = np.bincount(self.levels)[1:].tolist()
        self._in_order = self.levels == sorted(self.levels)
        self._order, self._back = Constant(order), Constant(np.argsort(order))
        self._lowpass = Constant(lowpass)
        # The whole kernel of each level, for decoding; Haar needs none.
        levels = range(1, 1 if self._haar else len(self._group_sizes) + 1)
        self._kernels = [Constant(cascade_taps(wavelet, k)) for k in levels]
        windows = np.array([[2**k for k in self.levels]])  # of Haar
        self._sums, self._scale = RunningSums(windows), Constant(1.0 / windows)

    @property
    def history(self) -> int:
        """The kernel's past; for Haar one more, which leaves the running sums."""
        return self.receptive_field - (0 if self._haar else 1)

    @property
    def receptive_field(self) -> int:
        """The longest kernel: (F−1)(2^K − 1) + 1 tokens, 2^K for Haar."""
        return cascade_length(self._filter_length, max(self.levels))

    def flops(self, num_tokens: int) -> int:
        """Per level one short filter; for Haar one addition, and a division at the end."""
        if self._haar:
            per_token = sum(self.levels) + self.num_mixed
        else:
            per_token = sum(self.levels) * (2 * self._filter_length - 1)
        return (per_token + self.num_mixed * self.residual) * num_tokens

    def extra_repr(self) -> str:
        """The options, for `print(model)`."""
        return f"{super().extra_repr()}, levels {min(self.levels)} to {max(self.levels)}"

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        if state is not None and self._can_slide and self._sums.can_step(x, runs):
            return self._slide(x, state)
        if not (self._haar and self._in_order) or self.residual or state is not None:
            return super()._mix(x, state, runs, padding_mask)
        # Average inside a copy of x, without splitting and joining channels.
        return causal_moving_average(
            x,
            self._group_sizes,
            boundary=self.boundary,
            runs=runs,
            valid=None if padding_mask is None else padding_mask.to(x.dtype),
            first_channel=self.first_mixed,
        )

    def _mix_channels(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        B, T, _ = x.shape
        history, valid = 0, None
        if self.boundary == "mean" and (state is not None or padding_mask is not None):
            valid = x.new_ones(B, T) if padding_mask is None else padding_mask.to(x.dtype)
        if state is not None:
            history = self.history
            # As a channel, the padding flag is cached, reordered and cropped with the samples.
            signal = x if valid is None else torch.cat([x, valid.unsqueeze(-1)], dim=-1)
            x = state.extend("x", signal, history=history)
            if valid is not None:
                x, valid = x[..., :-1], x[..., -1]
            elif self._haar and runs is None:
                self._sums.prepare(state, x.device)
        ordered = x if self._in_order else x[..., self._order.on(x.device)]
        if self._haar:
            result = causal_moving_average(
                ordered,
                self._group_sizes,
                boundary=self.boundary,
                runs=runs,
                valid=valid,
                history=history,
            )
        elif state is not None and one_by_one(T, history):
            result = self._newest_outputs(ordered, runs, history)
        else:
            lowpass = self._lowpass.on(x.device, accumulation_dtype(x.dtype))
            result = causal_cascade(ordered, lowpass, self._group_sizes, runs)[:, history:]
        return result if self._in_order else result[..., self._back.on(x.device)]

    def _slide(self, x: Tensor, state: MixerState) -> Tensor:
        """Process one token, with constant work for any window."""
        start, stop = self.mixed_range
        channels = x if self.num_mixed == self.channels else x[..., start:stop]
        averages = self._sums.step(channels, state) * self._scale.on(x.device)
        if self.residual:
            averages = channels + averages
        # Unlike assignment to a slice, compilers can trace this.
        return torch.slice_scatter(x, averages, dim=-1, start=start, end=stop)

    def _newest_outputs(self, x: Tensor, runs: Tensor | None, history: int) -> Tensor:
        """Filter the last tokens with whole kernels, cheaper than a cascade over the history."""
        results = []
        groups = torch.split(x, self._group_sizes, dim=-1)
        for group, kernel in zip(groups, self._kernel_taps(x), strict=True):
            taps = kernel.expand(group.shape[-1], -1)
            results.append(causal_fir(group, taps, runs=runs, history=history))
        return torch.cat(results, dim=-1)

    def _kernel_taps(self, x: Tensor) -> list[Tensor]:
        return [kernel.on(x.device, accumulation_dtype(x.dtype)) for kernel in self._kernels]
