"""Fixed wavelet mixing: causal multi-scale averages without parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from latentwave.functional import causal_moving_average, segment_runs
from latentwave.functional.averages import Boundary
from latentwave.mixers.base import Mixer
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.state import MixerState


@register_mixer("wavelet")
class WaveletMixer(Mixer):
    """Replace a share of the channels by causal Haar approximations of fixed levels.

        y_j(t) = (1/w) · Σ_{m=0}^{w−1} x_j(t−m),   w = 2^{k(j)},   k(j) = 1 + ⌊j·K / C⌋

    for the C = fraction · D mixed channels, K levels; the other channels pass unchanged. Each
    channel keeps its level in every layer. No parameters.

    Reference: WaveletGPT (Verma, 2024). Beyond it: other shares, halves, schedules, the residual
    form and the boundary "mean".

    Args:
        channels: D.
        context_length: L; windows run 2, 4, …, up to L by default.
        fraction: share of channels that are mixed, in (0, 1]; fraction · D must be whole.
        mixed: which end of the channels is mixed, "last" or "first".
        num_levels: K; default ⌊log2 L⌋.
        level: one level for all mixed channels (the single-scale ablation) instead of 1 … K.
        schedule: an explicit level for each mixed channel instead of the formula.
        boundary: "zero": signals are zero before the first token (the paper's); "mean": divide
            by the tokens that the window really holds.
        residual: add the average to the channel instead of replacing it.

    Raises:
        ValueError: for values out of range; the message has the value.

    Causality: y(t) reads x(t − w + 1 … t).

    Example:
        >>> mixer = WaveletMixer(8, 16)
        >>> mixer.levels
        [1, 2, 3, 4]
        >>> mixer(torch.ones(1, 3, 8))[0, :, 4:]
        tensor([[0.5000, 0.2500, 0.1250, 0.0625],
                [1.0000, 0.5000, 0.2500, 0.1250],
                [1.0000, 0.7500, 0.3750, 0.1875]])
    """

    _order: Tensor
    _back: Tensor

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        fraction: float = 0.5,
        mixed: Literal["last", "first"] = "last",
        num_levels: int | None = None,
        level: int | None = None,
        schedule: Sequence[int] | None = None,
        boundary: Boundary = "zero",
        residual: bool = False,
    ) -> None:
        super().__init__(channels, context_length)
        if mixed not in ("last", "first"):
            raise ValueError(f'mixed must be "last" or "first", got {mixed!r}')
        if boundary not in ("zero", "mean"):
            raise ValueError(f'boundary must be "zero" or "mean", got {boundary!r}')
        self.num_mixed = _num_mixed(channels, fraction)
        self.mixed = mixed
        self.boundary: Boundary = boundary
        self.residual = residual
        self.levels = _levels(self.num_mixed, context_length, num_levels, level, schedule)

        # The doubling recursion wants the channels in order of level.
        order = sorted(range(self.num_mixed), key=self.levels.__getitem__)
        self._group_sizes = [self.levels.count(k) for k in range(1, max(self.levels) + 1)]
        self._in_order = order == list(range(self.num_mixed))
        back = sorted(range(self.num_mixed), key=order.__getitem__)
        self.register_buffer("_order", torch.tensor(order), persistent=False)
        self.register_buffer("_back", torch.tensor(back), persistent=False)

    @property
    def receptive_field(self) -> int:
        """The longest window, 2^K tokens."""
        return int(2 ** max(self.levels))

    def flops(self, num_tokens: int) -> int:
        """One addition per doubling, one division, and one addition if residual."""
        per_token = sum(self.levels) + self.num_mixed * (2 if self.residual else 1)
        return per_token * num_tokens

    def extra_repr(self) -> str:
        """The options, for `print(model)`."""
        return (
            f"channels={self.channels}, mixed={self.num_mixed} {self.mixed}, "
            f"levels {min(self.levels)} to {max(self.levels)}, boundary={self.boundary!r}"
            + (", residual" if self.residual else "")
        )

    def _mix(
        self,
        x: Tensor,
        state: MixerState | None,
        segment_ids: Tensor | None,
        padding_mask: Tensor | None,
    ) -> Tensor:
        D, C = self.channels, self.num_mixed
        if self.mixed == "last":
            passed, own = x[..., : D - C], x[..., D - C :]
        else:
            own, passed = x[..., :C], x[..., C:]

        averages = self._average(own, state, segment_ids, padding_mask)
        mixed = own + averages if self.residual else averages
        return torch.cat([passed, mixed] if self.mixed == "last" else [mixed, passed], dim=-1)

    def _average(
        self,
        x: Tensor,
        state: MixerState | None,
        segment_ids: Tensor | None,
        padding_mask: Tensor | None,
    ) -> Tensor:
        B, T, _ = x.shape
        valid = None
        if self.boundary == "mean" and (state is not None or padding_mask is not None):
            valid = x.new_ones(B, T) if padding_mask is None else padding_mask.to(x.dtype)
        if state is not None:
            history = self.receptive_field - 1
            segment_ids = _extend_segment_ids(state, segment_ids, history)
            # Whether a token counts travels as one more channel, so that it is cached, reordered
            # and cropped with the samples.
            signal = x if valid is None else torch.cat([x, valid.unsqueeze(-1)], dim=-1)
            signal = state.extend("x", signal, history=history)
            if valid is not None:
                signal, valid = signal[..., :-1], signal[..., -1]
            x = signal
        runs = None if segment_ids is None else segment_runs(segment_ids)
        ordered = x if self._in_order else x[..., self._order]
        averages = causal_moving_average(
            ordered, self._group_sizes, boundary=self.boundary, runs=runs, valid=valid
        )
        averages = averages[:, averages.shape[1] - T :]
        return averages if self._in_order else averages[..., self._back]


def _extend_segment_ids(
    state: MixerState, segment_ids: Tensor | None, history: int
) -> Tensor | None:
    if segment_ids is None:
        if "segment_ids" in state:
            raise ValueError("this state was started with segment_ids: pass them at every call")
        return None
    if "x" in state and "segment_ids" not in state:
        raise ValueError("this state was started without segment_ids: start a new one for them")
    return state.extend("segment_ids", segment_ids.unsqueeze(-1), history=history).squeeze(-1)


def _num_mixed(channels: int, fraction: float) -> int:
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    exact = channels * fraction
    if not math.isclose(exact, round(exact), abs_tol=1e-6) or round(exact) < 1:
        raise ValueError(
            f"fraction={fraction} of {channels} channels is {exact:g}: not a whole number >= 1; "
            "choose another fraction or an even width"
        )
    return round(exact)


def _levels(
    num_mixed: int,
    context_length: int,
    num_levels: int | None,
    level: int | None,
    schedule: Sequence[int] | None,
) -> list[int]:
    if sum(option is not None for option in (num_levels, level, schedule)) > 1:
        raise ValueError(
            "num_levels, level and schedule exclude each other, got "
            f"num_levels={num_levels}, level={level}, schedule={schedule}"
        )
    longest = context_length.bit_length() - 1
    if longest < 1:
        raise ValueError(f"context_length must be >= 2 for a wavelet level, got {context_length}")
    if schedule is not None:
        levels = [int(k) for k in schedule]
        if len(levels) != num_mixed:
            raise ValueError(
                f"schedule must give a level for each of the {num_mixed} mixed channels, "
                f"got {len(levels)}"
            )
    elif level is not None:
        levels = [level] * num_mixed
    else:
        K = longest if num_levels is None else num_levels
        if not 1 <= K <= longest:
            raise ValueError(_out_of_range("num_levels", K, longest, context_length))
        levels = [1 + j * K // num_mixed for j in range(num_mixed)]
    for k in levels:
        if not 1 <= k <= longest:
            raise ValueError(_out_of_range("level", k, longest, context_length))
    return levels


def _out_of_range(name: str, value: int, longest: int, context_length: int) -> str:
    return (
        f"{name} must be between 1 and {longest} (= log2 of the context length "
        f"{context_length}, rounded down), got {value}"
    )
