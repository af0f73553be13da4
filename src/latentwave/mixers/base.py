"""The base class of all mixers, and the contract they keep."""

import abc
import dataclasses
import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from latentwave.errors import UserError
from latentwave.functional import segment_runs
from latentwave.mixers.constants import Constant, fill, is_sharded
from latentwave.mixers.running_sums import RunningSums
from latentwave.mixers.state import MixerState

_LARGEST = 2**24  # channels or context tokens, which bounds the memory options can ask for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
    """The output of a linear map inside attention.

    Attributes:
        name: the name of the linear map.
        heads: the role of each head, see `head_roles`; None if unknown.
        rotary_width: the number of channels at the start of each head that rotate; None for all.
    """

    name: str
    heads: str | None = None
    rotary_width: int | None = None


class Mixer(nn.Module, abc.ABC):
    """A layer that mixes tokens within each channel: (B, T, D) → (B, T, D).

    Subclasses implement `_mix`; `forward` checks the inputs and zeroes padded tokens.

    Attributes:
        kind: the name the mixer is registered under.
        points: its default points in a decoder layer.
        causal: whether y(t) depends on x(≤ t) only.
        starts_as_identity: whether it changes nothing before training, its gate aside.
        tail_share: the share of the filter weight beyond the receptive field; 0 except for
            recursive filters, whose response never ends.
        check_finite: whether to refuse NaN and infinities in the input, for debugging; each check
            waits for the device and breaks compiled graphs.
        fade_gate: (mixed channels,), see `add_fade_gate`; None without one.
        marker: a scalar in checkpoints, see `add_marker`; None without one.

    Args:
        channels: D, the embedding coordinates.
        context_length: L, the tokens that the backbone is trained on.

    Raises:
        ValueError: if either is not an integer from 1 to 2^24.
    """

    kind: ClassVar[str]
    points: ClassVar[tuple[str, ...]] = ("block",)
    _signal: ClassVar[str] = "x"  # what the samples are called in a state
    fade_gate: nn.Parameter | None
    marker: Tensor | None
    causal: bool = True
    starts_as_identity: bool = False
    tail_share: float = 0.0

    def __init__(self, channels: int, context_length: int) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("context_length", context_length)):
            if not isinstance(value, numbers.Integral) or not 1 <= value <= _LARGEST:
                raise ValueError(f"{name} must be an integer from 1 to {_LARGEST}, got {value!r}")
        self.channels = channels
        self.context_length = context_length
        self.check_finite = False
        self._initial: dict[str, NDArray[Any]] = {}
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
            state: the state after the last call on this sequence, updated in place; chunks of any
                length match the whole up to rounding. None starts fresh and keeps nothing.
            segment_ids: (B, T), integers; no filter reaches across a change of id. A state started
                with ids needs them at every call.
            padding_mask: (B, T), True for real tokens; padded ones count as zeros.

        Returns:
            (B, T, D) in the dtype of x.

        Raises:
            ValueError: for wrong shapes or types; with `check_finite`, for a NaN or an infinity in
                a token that is not padded.

        Causality: y(t) reads x(t − receptive_field + 1 … t), unless `causal` is False.
        """
        x = self._checked(x, segment_ids, padding_mask)
        # Contiguous, because the next layer may view it as rows, as GPT-2 does.
        y = self._mix(x, state, self._runs(state, segment_ids), padding_mask).contiguous()
        if self.fade_gate is None:
            return y
        start, stop = self.mixed_range
        gate = F.pad(self.fade_gate.to(x.dtype), (start, self.channels - stop))
        return torch.lerp(x, y, gate)

    def _checked(
        self, x: Tensor, segment_ids: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        """Check the inputs of a call; returns x with padded tokens zeroed."""
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise ValueError(
                f"x must have shape (batch, tokens, {self.channels}), got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"x must have a floating type, got {x.dtype}")
        for name, per_token in (("segment_ids", segment_ids), ("padding_mask", padding_mask)):
            if per_token is not None and per_token.shape != x.shape[:2]:
                raise ValueError(
                    f"{name} must have shape {tuple(x.shape[:2])}, one entry per token of x, "
                    f"got {tuple(per_token.shape)}"
                )
        if segment_ids is not None and (
            segment_ids.dtype == torch.bool or segment_ids.is_floating_point()
        ):
            raise ValueError(
                "segment_ids must be integers, one id for all tokens of a document, got "
                f"{segment_ids.dtype}: pass segment_ids.long()"
            )
        if padding_mask is not None:
            if padding_mask.dtype != torch.bool:
                raise ValueError(
                    "padding_mask must be boolean, True for real tokens, got "
                    f"{padding_mask.dtype}: pass padding_mask.bool()"
                )
            x = x.masked_fill(~padding_mask.unsqueeze(-1), 0.0)
        if self.check_finite and (bad := ~torch.isfinite(x)).any():
            b, t, c = bad.nonzero()[0].tolist()
            raise ValueError(
                f"x is not finite: {x[b, t, c].item()} at batch {b}, token {t}, channel {c}, the "
                f"first of {int(bad.sum())} such values"
            )
        return x

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Mixer":
        """Move constants along with parameters; see `torch.nn.Module.to`."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0, device="cpu")).device
        dtypes = {p.dtype for p in self.parameters()}
        for module in self.modules():
            for constant in _constants(module):
                constant.make_ready(device, *dtypes)
        return self

    def add_fade_gate(self) -> None:
        """Let the mixer fade in: y = x + g · (mix(x) − x), with a learnable g per mixed channel.

        g starts at 0: any mixer then starts as the identity and can join a trained model. If the
        mixer starts as the identity by itself, g starts at 1: at 0, neither would have a gradient.
        """
        start, stop = self.mixed_range
        initial = np.full(stop - start, float(self.starts_as_identity))
        self.fade_gate = self._parameter("fade_gate", initial)

    @classmethod
    def options_at(
        cls, projection: Projection, options: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The options of a mixer of queries, keys or values; None if it does not apply to them.

        Args:
            projection: the output to be mixed.
            options: the options given, which take precedence.
        """
        return options

    @classmethod
    def check_point(cls, point: str, options: Mapping[str, Any]) -> None:
        """Refuse a point of a decoder layer whose signal the mixer is not made for.

        Raises:
            UserError: for such a point.
        """

    @classmethod
    def resolved_options(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options with presets in them replaced, see `MixerConfig.resolved`."""
        return options

    def reset_parameters(self) -> None:
        """Set every parameter to its initial value, in place; subclasses draw the random ones.

        A model built on the meta device is initialised this way.
        """
        for name, values in self._initial.items():
            fill(getattr(self, name), values)
        if self.marker is not None:
            nn.init.ones_(self.marker)

    def _parameter(self, name: str, initial: NDArray[Any]) -> nn.Parameter:
        """A parameter, with the initial values that `reset_parameters` restores."""
        self._initial[name] = initial
        parameter = nn.Parameter(torch.empty(initial.shape))
        fill(parameter, initial)
        return parameter

    def add_marker(self) -> None:
        """Give a mixer without parameters a tensor in checkpoints that nothing computes with.

        Loading the checkpoint without mixers then warns of an unexpected tensor instead of silently
        computing something else.
        """
        if next(self.parameters(), None) is None:
            self.marker = torch.ones((), dtype=torch.int64)

    def _check_width(self, name: str, value: int) -> None:
        """Refuse sizes far beyond the model's, before anything is allocated."""
        largest = max(1024, 8 * self.channels)
        if not 1 <= value <= largest:
            raise ValueError(
                f"{name} must be between 1 and {largest} for {self.channels} channels, got {value}"
            )

    @property
    def mixed_range(self) -> tuple[int, int]:
        """The range of mixed channels, start and stop."""
        return 0, self.channels

    def fade_flops(self, num_tokens: int) -> int:
        """FLOPs that the gate adds to `flops`: three per mixed channel and token."""
        return 0 if self.fade_gate is None else 3 * len(self.fade_gate) * num_tokens

    @property
    def history(self) -> int:
        """Past tokens that a state keeps."""
        return self.receptive_field - 1

    def _runs(self, state: MixerState | None, segment_ids: Tensor | None) -> Tensor | None:
        """The documents of the new tokens, with a state also of the history before them."""
        if segment_ids is None:
            if state is not None and "segment_ids" in state:
                raise ValueError("this state was started with segment_ids: pass them at every call")
            return None
        if state is not None:
            if self._signal in state and "segment_ids" not in state:
                raise ValueError("this state was started without segment_ids: start a new one")
            ids = segment_ids.unsqueeze(-1)
            segment_ids = state.extend("segment_ids", ids, history=self.history).squeeze(-1)
        return segment_runs(segment_ids)

    @abc.abstractmethod
    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        """Mix x, whose padded tokens are zero; `runs` is (B, T), or (B, history + T) with a state.

        `runs` numbers the documents as `segment_runs` does.
        """

    @property
    @abc.abstractmethod
    def receptive_field(self) -> int:
        """Tokens that one output reads, the current one included."""

    @abc.abstractmethod
    def flops(self, num_tokens: int) -> int:
        """Multiplications and additions of a forward pass over `num_tokens` tokens (B = 1)."""

    @property
    def num_parameters(self) -> int:
        """Number of trainable scalars."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @torch.no_grad()
    def impulse_response(self) -> Float[Tensor, "D R"]:
        """Each channel's output 0 … R−1 tokens after a unit impulse, R the receptive field.

        R−1 zeros before the impulse rule out boundary effects. For a nonlinear mixer this is the
        response to this input alone.

        Raises:
            UserError: if FSDP2 has sharded the mixer.
        """
        if any(map(is_sharded, self.parameters())):
            raise UserError(
                f"this {self.kind!r} mixer is sharded: copy it with save_mixers and load_mixers "
                "into a model that is not, and take the response there"
            )
        R = self.receptive_field
        dtype = next((p.dtype for p in self.parameters()), torch.get_default_dtype())
        device = next((t.device for t in (*self.parameters(), *self.buffers())), None)
        x = torch.zeros(1, 2 * R - 1, self.channels, dtype=dtype, device=device)
        x[:, R - 1] = 1.0
        response: Tensor = self(x)
        return response[0, R - 1 :].T

    def extra_repr(self) -> str:
        """The options, for `print(model)`."""
        arguments = inspect.signature(type(self).__init__).parameters
        shown = {name: vars(self)[name] for name in arguments if name in vars(self)}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    def new_state(self) -> MixerState:
        """An empty state; pass it to every call on one batch of sequences."""
        return MixerState()


def _constants(owner: Any) -> Iterator[Constant]:
    """The constants among an object's attributes, also in lists and in running sums."""
    for value in vars(owner).values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, RunningSums):
                yield from _constants(each)
            elif isinstance(each, Constant):
                yield each
