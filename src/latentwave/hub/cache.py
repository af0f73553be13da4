"""Mixer state inside the cache that transformers passes through a model.

Hybrid cache layers of transformers hold keys and values and, beside them, convolution states.
Mixers keep their history there, so that whatever the ecosystem does to a cache (reordering for
beam search, batch expansion, cropping, offloading) it does to the mixers' state too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers import cache_utils

from latentwave.errors import UserError
from latentwave.mixers import MixerState


class _MixerStates:
    """Beside keys and values, what the hybrid layers of transformers leave undone for states."""

    def crop(self: Any, tokens_to_remove: int) -> None:
        if any(self.is_recurrent_states_initialized.values()):
            raise UserError(
                "a recurrent mixer cannot take tokens back, so its cache cannot be cropped: "
                "generate without assisted decoding or prompt lookup"
            )
        super().crop(tokens_to_remove)  # type: ignore[misc]

    def batch_repeat_interleave(self: Any, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)  # type: ignore[misc]
        self._each_state(lambda state: state.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self: Any, indices: Tensor) -> None:
        super().batch_select_indices(indices)  # type: ignore[misc]
        self._each_state(lambda state: state[indices.to(state.device)])

    def _each_state(self: Any, change: Callable[[Tensor], Tensor]) -> None:
        for states in (self.conv_states, self.recurrent_states):
            for slot, state in states.items():
                states[slot] = None if state is None else change(state)


# What each plain layer becomes when it also carries mixer state.
_HYBRID: dict[type, type] = {
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
    )
}


def carry_mixer_state(
    cache: cache_utils.Cache, num_layers: int, mixed_layers: Sequence[int]
) -> None:
    """Give the mixed layers of a fresh cache room for mixer state.

    Args:
        cache: any cache of transformers, without tokens in it, or one that has room already.
        num_layers: decoder layers of the model.
        mixed_layers: indices of those with a mixer.

    Raises:
        UserError: if the cache holds tokens that the mixers did not see, or is of a kind that
            cannot hold convolution states.
    """
    while len(cache.layers) < num_layers:  # a cache without a config makes its layers lazily
        cache.layers.append(cache_utils.DynamicLayer())  # type: ignore[no-untyped-call]
    for index in mixed_layers:
        layer: Any = cache.layers[index]
        if isinstance(layer, cache_utils.LinearAttentionCacheLayerMixin):
            continue
        hybrid = _HYBRID.get(type(layer))
        if hybrid is None:
            raise UserError(
                f"a cache of {type(layer).__name__}s cannot carry mixer state; use a "
                "DynamicCache or a StaticCache"
            )
        if layer.get_seq_length() > 0:
            raise UserError(
                f"the cache holds {layer.get_seq_length()} tokens that the mixers have not seen: "
                "fill it through this model, with the mixers attached and in eval mode"
            )
        cache.layers[index] = _as_hybrid(layer, hybrid)


def _as_hybrid(layer: Any, hybrid: type) -> Any:
    sizes = {
        name: getattr(layer, name)
        for name in ("sliding_window", "max_cache_len")
        if hasattr(layer, name)
    }
    new = hybrid(**sizes, number_of_states=0)  # states are added as mixers name them
    if layer.is_initialized:  # static caches may have their memory already
        new.keys, new.values = layer.keys, layer.values
        new.is_initialized = True
        for name in ("dtype", "device", "cumulative_length", "max_batch_size", "num_heads"):
            if hasattr(layer, name):
                setattr(new, name, getattr(layer, name))
    # A dynamic cache can be cropped; its mixer state then must still hold the last call's tokens.
    new.record_past = isinstance(layer, cache_utils.DynamicLayer)
    return new


class CacheState(MixerState):
    """The state of one layer's mixer, kept in a transformers cache.

    Each signal that a mixer names gets a convolution or recurrent state of the cache layer; the
    layer remembers which.

    Args:
        cache: one that `carry_mixer_state` has prepared.
        layer_index: position of the decoder layer.
    """

    def __init__(self, cache: cache_utils.Cache, layer_index: int) -> None:
        super().__init__()
        self._cache = cache
        self._layer_index = layer_index

    def __contains__(self, name: str) -> bool:
        """Whether `name` was written before."""
        slot, layer = self._slots.get(name), self._layer
        return slot is not None and bool(
            layer.has_previous_state[slot] or layer.is_recurrent_states_initialized[slot]
        )

    def extend(self, name: str, new: Tensor, *, history: int) -> Tensor:
        """See `MixerState.extend`."""
        T = new.shape[1]
        if history == 0:
            return new
        slot = self._slot(name)
        if self._layer.record_past and self._layer.has_previous_state[slot]:
            self._forget_older(slot, T, history)
        both: Tensor = self._cache.update_conv_state(
            new.transpose(1, 2), self._layer_index, state_idx=slot, conv_kernel_size=history
        ).transpose(1, 2)
        # Before the first token there is nothing, which filters see as zeros.
        return F.pad(both, (0, 0, max(history + T - both.shape[1], 0), 0))[:, -(history + T) :]

    def get(self, name: str) -> Tensor | None:
        """See `MixerState.get`."""
        if name not in self:
            return None
        value: Tensor = self._layer.recurrent_states[self._slots[name]]
        return value

    def put(self, name: str, value: Tensor) -> None:
        """See `MixerState.put`."""
        self._cache.update_recurrent_state(value, self._layer_index, state_idx=self._slot(name))

    def clone(self) -> MixerState:
        """Refused: copy the whole cache instead.

        Raises:
            UserError: always.
        """
        raise UserError("this state lives in a transformers cache: copy.deepcopy the cache")

    @property
    def _layer(self) -> Any:
        return self._cache.layers[self._layer_index]

    @property
    def _slots(self) -> dict[str, int]:
        slots: dict[str, int] = self._layer.__dict__.setdefault("mixer_slots", {})
        return slots

    def _slot(self, name: str) -> int:
        slots, layer = self._slots, self._layer
        if name not in slots:
            slots[name] = len(slots)
            while layer.number_of_states <= slots[name]:
                slot = layer.number_of_states
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

    def _forget_older(self, slot: int, num_new: int, history: int) -> None:
        """Cut a recorded past down to what filters read, after making sure it is all there."""
        past_tokens = int(self._layer.get_seq_length()) - num_new
        kept = self._layer.conv_states[slot]
        if kept.shape[-1] < min(history, past_tokens):
            raise UserError(
                f"the cache was cropped to {past_tokens} tokens, further back than the mixers' "
                f"state reaches ({kept.shape[-1]} of {history} tokens are left): crop at most the "
                "tokens of the last call, or start again from an empty cache"
            )
        self._layer.conv_states[slot] = kept[..., -history:]
