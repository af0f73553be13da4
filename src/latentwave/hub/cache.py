"""Mixer state inside the cache that transformers passes through a model.

Hybrid cache layers of transformers hold keys and values and, beside them, convolution states.
Mixers keep their history there, so that whatever the ecosystem does to a cache (reordering for
beam search, batch expansion, cropping) it does to the mixers' state too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import cache_utils

from latentwave.errors import UserError
from latentwave.mixers import MixerState


class _MixerStates:
    """Beside keys and values, what the hybrid layers of transformers leave undone for states."""

    def crop(self: Any, tokens_to_remove: int | Tensor) -> None:
        if any(self.is_recurrent_states_initialized.values()):
            raise UserError(
                "a recurrent mixer cannot take tokens back, so its cache cannot be cropped: "
                "generate without assisted decoding or prompt lookup"
            )
        super().crop(tokens_to_remove)  # type: ignore[misc]

    def batch_repeat_interleave(self: Any, repeats: int) -> None:
        if isinstance(self, cache_utils.DynamicLayer):
            super().batch_repeat_interleave(repeats)  # type: ignore[misc]
        self._each_state(lambda state: state.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self: Any, indices: Tensor) -> None:
        if isinstance(self, cache_utils.DynamicLayer):
            super().batch_select_indices(indices)  # type: ignore[misc]
        self._each_state(lambda state: state[indices.to(state.device)])

    def _each_state(self: Any, change: Callable[[Tensor], Tensor]) -> None:
        for states in (self.conv_states, self.recurrent_states):
            for slot, state in states.items():
                states[slot] = None if state is None else change(state)


# What each layer becomes when it also carries mixer state. Layers of backbones with convolutions
# or recurrences of their own carry theirs already; the mixers' come behind.
_CARRIERS: dict[type, type] = {
    plain: type(f"Mixed{plain.__name__}", (_MixerStates, hybrid), {})
    for plain, hybrid in (
        (cache_utils.DynamicLayer, cache_utils.LinearAttentionAndFullAttentionLayer),
        (
            cache_utils.DynamicSlidingWindowLayer,
            cache_utils.LinearAttentionAndSlidingWindowAttentionLayer,
        ),
        (cache_utils.StaticLayer, cache_utils.LinearAttentionAndStaticFullAttentionLayer),
        (
            cache_utils.StaticSlidingWindowLayer,
            cache_utils.LinearAttentionAndStaticSlidingWindowAttentionLayer,
        ),
        *(
            (carrier, carrier)
            for carrier in (
                cache_utils.LinearAttentionLayer,
                cache_utils.LinearAttentionAndFullAttentionLayer,
                cache_utils.LinearAttentionAndSlidingWindowAttentionLayer,
                cache_utils.LinearAttentionAndStaticFullAttentionLayer,
                cache_utils.LinearAttentionAndStaticSlidingWindowAttentionLayer,
            )
        ),
    )
}

# transformers takes hybrid layers of static caches for layers without attention, and so lays out
# the masks of full attention for the first sliding window; of growing caches it does not.
cache_utils.LinearAttentionAndFullAttentionLayer.register(_CARRIERS[cache_utils.StaticLayer])


def carry_mixer_state(
    cache: cache_utils.Cache, num_layers: int, mixed_layers: Sequence[int]
) -> None:
    """Give the mixed layers of a fresh cache room for mixer state.

    Args:
        cache: any cache of transformers, without tokens in it, or one that has room already.
        num_layers: decoder layers of the model.
        mixed_layers: indices of those with a mixer.

    Raises:
        UserError: if the cache holds tokens that the mixers did not see, is offloaded, or is of a
            kind that cannot hold convolution states.
    """
    if getattr(cache, "offloading", False):
        raise UserError(
            "mixers cannot keep their state in a cache that is offloaded layer by layer: use one "
            "without offloading"
        )
    while len(cache.layers) < num_layers:  # a cache without a config makes its layers lazily
        cache.layers.append(cache_utils.DynamicLayer())  # type: ignore[no-untyped-call]
    for index in mixed_layers:
        layer: Any = cache.layers[index]
        if isinstance(layer, _MixerStates):
            continue
        carrier = _CARRIERS.get(type(layer))
        if carrier is None:
            raise UserError(
                f"a cache of {type(layer).__name__}s cannot carry mixer state; use a "
                "DynamicCache or a StaticCache"
            )
        num_tokens = int(cache.get_seq_length())
        if num_tokens > 0:
            raise UserError(
                f"the cache holds {num_tokens} tokens that the mixers have not seen: "
                "fill it through this model, with the mixers attached and in eval mode"
            )
        cache.layers[index] = _as_carrier(layer, carrier)


def _as_carrier(layer: Any, carrier: type) -> Any:
    """The layer with all that it holds, as one that can also carry mixer state."""
    new: Any = object.__new__(carrier)
    if not isinstance(layer, cache_utils.LinearAttentionCacheLayerMixin):
        cache_utils.LinearAttentionCacheLayerMixin.__init__(new, number_of_states=0)
        new.has_previous_state = _Flags()
        # A growing cache can be cropped at any time; sliding windows, as without mixers, when
        # they are told to record.
        new.record_past = type(layer) is cache_utils.DynamicLayer
    vars(new).update(vars(layer))
    new.mixer_slots, new.mixer_tails = {}, {}
    return new


class _Flags(dict[int, bool]):
    """Whether states hold tokens. Without any state none does, though `all` says yes to nothing."""

    def values(self) -> Any:
        return super().values() or [False]


class CacheState(MixerState):
    """The state of one layer's mixer, kept in a transformers cache.

    Each signal that a mixer names gets a convolution or recurrent state of the cache layer; the
    layer remembers which.

    Args:
        cache: one that `carry_mixer_state` has prepared.
        layer_index: position of the decoder layer.
        past_tokens: in the cache before this call.
    """

    def __init__(
        self, cache: cache_utils.Cache, layer_index: int, past_tokens: int | Tensor
    ) -> None:
        super().__init__()
        self._cache = cache
        self._layer_index = layer_index
        layer: Any = cache.layers[layer_index]
        self._layer = layer
        self._slots: dict[str, int] = layer.mixer_slots
        self._past_tokens = past_tokens

    def __contains__(self, name: str) -> bool:
        """Whether `name` was written before."""
        slot = self._slots.get(name)
        return slot is not None and bool(self._layer.has_previous_state[slot])

    def extend(self, name: str, new: Tensor, *, history: int) -> Tensor:
        """See `MixerState.extend`."""
        if history == 0:
            return new
        T = new.shape[1]
        slot = self._slot(name)
        if isinstance(self._layer, cache_utils.DynamicLayer):
            return self._append(slot, new, history)
        both: Tensor = self._cache.update_conv_state(
            new.transpose(1, 2), self._layer_index, state_idx=slot, conv_kernel_size=history
        ).transpose(1, 2)
        # Before the first token there is nothing, which filters see as zeros.
        return F.pad(both, (0, 0, max(history + T - both.shape[1], 0), 0))[:, -(history + T) :]

    def _append(self, slot: int, new: Tensor, history: int) -> Tensor:
        """What `update_conv_state` does for a growing cache, without copying the past each time.

        The state is the end of a longer buffer, into whose spare room new samples go. Whatever
        else puts a tensor in the state's place (reordering, cropping, moving) thereby ends the
        buffer's use.
        """
        layer, (B, T, C) = self._layer, new.shape
        state = layer.conv_states[slot] if layer.has_previous_state[slot] else None
        tail: _Tail | None = layer.mixer_tails.get(slot)
        if state is None or tail is None or tail.state is not state or not tail.can_take(new):
            if state is not None:
                self._refuse_cropped(state, history)
            # Room for one more history makes copies rare enough not to count.
            buffer = new.new_empty(B, 2 * history + T + 64, C)
            known = 0 if state is None else min(state.shape[-1], history)
            buffer[:, : history - known] = 0  # before the first token
            if state is not None:
                buffer[:, history - known : history] = state[..., -known:].transpose(1, 2)
            tail = layer.mixer_tails[slot] = _Tail(buffer, history)
            layer.conv_kernel_size[slot] = history
            layer.is_conv_states_initialized[slot] = layer.has_previous_state[slot] = True
            layer.dtype, layer.device = new.dtype, new.device
        samples = tail.append(new, history)
        layer.conv_states[slot] = tail.state
        return samples

    def recall(self, name: str) -> Tensor | None:
        """See `MixerState.recall`."""
        slot = self._slots.get(name)
        tail: _Tail | None = self._layer.mixer_tails.get(slot)
        if tail is None or slot is None or tail.state is not self._layer.conv_states[slot]:
            return None
        return tail.derived

    def remember(self, name: str, value: Tensor | None) -> None:
        """See `MixerState.remember`."""
        tail: _Tail | None = self._layer.mixer_tails.get(self._slots.get(name))
        if tail is not None:
            tail.derived = value

    def get(self, name: str) -> Tensor | None:
        """See `MixerState.get`."""
        if name not in self:
            return None
        value: Tensor = self._layer.recurrent_states[self._slots[name]]
        return value

    def put(self, name: str, value: Tensor) -> None:
        """See `MixerState.put`."""
        slot = self._slot(name)
        if name in self and not torch.is_inference_mode_enabled():
            known = self._layer.recurrent_states[slot]
            if known.is_inference():  # it may not be written to outside of inference mode
                self._layer.recurrent_states[slot] = known.clone()
        self._cache.update_recurrent_state(value, self._layer_index, state_idx=slot)
        self._layer.has_previous_state[slot] = True

    def clone(self) -> MixerState:
        """Refused: copy the whole cache instead.

        Raises:
            UserError: always.
        """
        raise UserError("this state lives in a transformers cache: copy.deepcopy the cache")

    def _slot(self, name: str) -> int:
        slots, layer = self._slots, self._layer
        if name not in slots:
            slot = slots[name] = layer.number_of_states  # behind the backbone's own
            layer.number_of_states += 1
            for states in (layer.conv_states, layer.recurrent_states, layer.conv_kernel_size):
                states[slot] = None
            for flags in (
                layer.is_conv_states_initialized,
                layer.is_recurrent_states_initialized,
                layer.has_previous_state,
            ):
                flags[slot] = False
        return slots[name]

    def _refuse_cropped(self, state: Tensor, history: int) -> None:
        past_tokens = int(self._past_tokens)
        if state.shape[-1] < min(history, past_tokens):
            raise UserError(
                f"the cache was cropped to {past_tokens} tokens, further back than the mixers' "
                f"state reaches ({state.shape[-1]} of {history} tokens are left): crop at most the "
                "tokens of the last call, or start again from an empty cache"
            )


class _Tail:
    """A buffer whose written part ends with a layer's state.

    Attributes:
        state: (batch, channels, history + last call's tokens), a view of the buffer.
        derived: what a mixer has computed from it.
    """

    def __init__(self, buffer: Tensor, num_written: int) -> None:
        self._buffer = buffer
        self._num_written = num_written
        self.state: Tensor | None = None
        self.derived: Tensor | None = None

    def can_take(self, new: Tensor) -> bool:
        """Whether new samples may be written behind the old ones.

        Not if there is no room, nor if gradients may want the buffer as it is, nor into a buffer
        of torch's inference mode from outside of it.
        """
        wanted = new.requires_grad or self._buffer.requires_grad
        foreign = self._buffer.is_inference() != torch.is_inference_mode_enabled()
        room = self._buffer.shape[1] - self._num_written
        return room >= new.shape[1] and not wanted and not foreign

    def append(self, new: Tensor, history: int) -> Tensor:
        """The history and the new samples: (batch, history + new tokens, channels)."""
        start, stop = self._num_written, self._num_written + new.shape[1]
        self._buffer[:, start:stop] = new
        self._num_written = stop
        samples = self._buffer[:, start - history : stop]
        self.state = samples.transpose(1, 2)
        self.derived = None
        return samples
