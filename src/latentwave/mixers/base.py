"""The contract that every mixer keeps."""

from __future__ import annotations

import abc
import itertools
import numbers
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from latentwave.functional import segment_runs
from latentwave.mixers.state import MixerState

_LARGEST = 2**24  # channels, or tokens of context, so that options are bounded by what memory holds


class Mixer(nn.Module, abc.ABC):
    """A layer that mixes tokens within each channel: (B, T, D) → (B, T, D).

    Subclasses write `_mix`; `forward` checks the inputs and zeroes padded tokens for all.

    Attributes:
        kind: the name under which the mixer is registered.
        points: where in a decoder layer it stands unless a caller says otherwise.
        causal: whether y(t) depends on x(≤ t) only.
        tail_share: 0 where no output reads beyond the receptive field; a recursive filter, whose
            response never ends, says which share of its weight lies beyond.
        check_finite: whether every input is searched for NaN and infinities, for debugging; it
            waits for the device at each call and breaks compiled graphs.
        fade_gate: (mixed channels,) of a mixer that fades in, see `add_fade_gate`; otherwise None.
        marker: a number in checkpoints, see `add_marker`; otherwise None.

    Args:
        channels: D, the embedding coordinates.
        context_length: L, the tokens that the backbone is trained on.

    Raises:
        ValueError: if either is no integer, below 1 or above 2^24.
    """

    kind: ClassVar[str]
    points: ClassVar[tuple[str, ...]] = ("block",)
    _signal: ClassVar[str] = "x"  # under which a state keeps the samples
    fade_gate: nn.Parameter | None
    marker: Tensor | None
    causal: bool = True
    tail_share: float = 0.0

    def __init__(self, channels: int, context_length: int) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("context_length", context_length)):
            if not isinstance(value, numbers.Integral) or not 1 <= value <= _LARGEST:
                raise ValueError(f"{name} must be an integer from 1 to {_LARGEST}, got {value!r}")
        self.channels = channels
        self.context_length = context_length
        self.check_finite = False
        self.register_parameter("fade_gate", None)
        self.register_buffer("marker", None)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        *,
        state: MixerState | None = None,
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Mix the tokens of x.

        Args:
            x: (B, T, D), any floating type.
            state: where the last call on this sequence ended; it is updated. Chunks of any
                length give the whole to rounding. None starts and forgets.
            segment_ids: (B, T), integers; no filter reaches across a change of id. A state that
                was started with ids needs them at every call.
            padding_mask: (B, T), True for real tokens; padded ones count as zeros.

        Returns:
            (B, T, D) in the dtype of x.

        Raises:
            ValueError: for shapes that do not fit; with `check_finite`, for a NaN or an infinity
                in a token that is not padded.

        Causality: y(t) reads x(t − receptive_field + 1 … t), unless `causal` is False.
        """
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise ValueError(
                f"x must have shape (batch, tokens, {self.channels}), got {tuple(x.shape)}"
            )
        for name, per_token in (("segment_ids", segment_ids), ("padding_mask", padding_mask)):
            if per_token is not None and per_token.shape != x.shape[:2]:
                raise ValueError(
                    f"{name} must have shape {tuple(x.shape[:2])}, one entry per token of x, "
                    f"got {tuple(per_token.shape)}"
                )
        if padding_mask is not None:
            x = x.masked_fill(~padding_mask.unsqueeze(-1), 0.0)
        if self.check_finite:
            self._refuse_non_finite(x)
        # Contiguous, because layers that follow may view it as rows, as GPT-2's do.
        y = self._mix(x, state, self._runs(state, segment_ids), padding_mask).contiguous()
        if self.fade_gate is None:
            return y
        start, stop = self.mixed_range
        gate = F.pad(self.fade_gate.to(x.dtype), (start, self.channels - stop))
        return torch.lerp(x, y, gate)

    def add_fade_gate(self) -> None:
        """Let the mixer fade in: y = x + g · (mix(x) − x), with a learnable g per mixed channel.

        g starts at 0, so that a mixer of any kind starts as the identity, to the bit, and can be
        added to a trained model.
        """
        start, stop = self.mixed_range
        self.fade_gate = nn.Parameter(torch.zeros(stop - start))

    @classmethod
    def options_at(
        cls, projection: str, num_heads: int, num_key_value_heads: int
    ) -> dict[str, Any] | None:
        """What a mixer on the queries, keys or values has to know of them.

        Args:
            projection: the name of the linear map whose output it mixes.
            num_heads: of queries.
            num_key_value_heads: of keys, and as many of values.

        Returns:
            Options; None where it does not stand.
        """
        return {}

    def reset_parameters(self) -> None:
        """Give every parameter its initial value, in place; each mixer resets its own.

        For models that are laid out without values and initialised later.
        """
        if self.fade_gate is not None:
            nn.init.zeros_(self.fade_gate)
        if self.marker is not None:
            nn.init.ones_(self.marker)

    def add_marker(self) -> None:
        """Let a mixer without parameters leave a tensor in checkpoints.

        Nothing computes with it. Whatever loads the checkpoint without mixers then warns of a
        tensor that found no place, instead of computing something else in silence.
        """
        if next(self.parameters(), None) is None:
            self.marker = torch.ones((), dtype=torch.int64)

    def _check_width(self, name: str, value: int) -> None:
        """Refuse sizes inside a mixer that are far beyond the model's, before they are built."""
        largest = max(1024, 8 * self.channels)
        if not 1 <= value <= largest:
            raise ValueError(
                f"{name} must be between 1 and {largest} for {self.channels} channels, got {value}"
            )

    @property
    def mixed_range(self) -> tuple[int, int]:
        """The first mixed channel, and the one behind the last."""
        return 0, self.channels

    def fade_flops(self, num_tokens: int) -> int:
        """What the gate adds to `flops`: three operations per mixed channel and token."""
        return 0 if self.fade_gate is None else 3 * len(self.fade_gate) * num_tokens

    @property
    def history(self) -> int:
        """Tokens before a chunk that a state keeps."""
        return self.receptive_field - 1

    def _runs(self, state: MixerState | None, segment_ids: Tensor | None) -> Tensor | None:
        """The documents of the new tokens, and of the history before them if there is a state."""
        if state is not None:
            segment_ids = self._extended(segment_ids, state)
        return None if segment_ids is None else segment_runs(segment_ids)

    def _extended(self, segment_ids: Tensor | None, state: MixerState) -> Tensor | None:
        if segment_ids is None:
            if "segment_ids" in state:
                raise ValueError("this state was started with segment_ids: pass them at every call")
            return None
        if self._signal in state and "segment_ids" not in state:
            raise ValueError("this state was started without segment_ids: start a new one for them")
        ids = segment_ids.unsqueeze(-1)
        return state.extend("segment_ids", ids, history=self.history).squeeze(-1)

    def _refuse_non_finite(self, x: Tensor) -> None:
        bad = ~torch.isfinite(x)
        if bad.any():
            b, t, c = bad.nonzero()[0].tolist()
            raise ValueError(
                f"x is not finite: {x[b, t, c].item()} at batch {b}, token {t}, channel {c}, the "
                f"first of {int(bad.sum())} such values"
            )

    @abc.abstractmethod
    def _mix(
        self,
        x: Tensor,
        state: MixerState | None,
        runs: Tensor | None,
        padding_mask: Tensor | None,
    ) -> Tensor:
        """The mixer itself; padded tokens of x are zero already.

        `runs` number the documents as `segment_runs` does, (B, T), or (B, history + T) with a
        state.
        """

    @property
    @abc.abstractmethod
    def receptive_field(self) -> int:
        """Tokens that one output reads, the current one included."""

    @abc.abstractmethod
    def flops(self, num_tokens: int) -> int:
        """Floating-point operations of one forward pass over `num_tokens` tokens (B = 1).

        A multiplication and an addition count one each.
        """

    @property
    def num_parameters(self) -> int:
        """Trainable scalars."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @torch.no_grad()
    def impulse_response(self) -> Float[Tensor, "D R"]:
        """Each channel's output 0 … R−1 tokens after a unit impulse, R the receptive field.

        The impulse stands behind R−1 zero tokens, so that boundaries play no part. A mixer with
        a non-linearity answers with its response to this one input.
        """
        R = self.receptive_field
        dtype = next((p.dtype for p in self.parameters()), torch.get_default_dtype())
        tensors = itertools.chain(self.parameters(), self.buffers())
        device = next((tensor.device for tensor in tensors), None)
        x = torch.zeros(1, 2 * R - 1, self.channels, dtype=dtype, device=device)
        x[:, R - 1] = 1.0
        response: Tensor = self(x)
        return response[0, R - 1 :].T

    def new_state(self) -> MixerState:
        """An empty state, to be passed to every call on one batch of sequences."""
        return MixerState()
