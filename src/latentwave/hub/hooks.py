"""The hooks that run the mixers inside a transformers model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import DynamicCache
from transformers.cache_utils import Cache

from latentwave.errors import UserError
from latentwave.hub.cache import CacheState, carry_mixer_state
from latentwave.hub.decoder import Decoder
from latentwave.hub.padding import find_padding

# The name of a mixer among its decoder layer's submodules.
MIXER_NAME = "latentwave_mixer"


@dataclasses.dataclass(frozen=True)
class _Call:
    """What the mixers need to know of one forward pass of the decoder."""

    cache: Cache | None
    past_tokens: int | Tensor  # static caches count in a tensor
    segment_ids: Tensor | None
    padding_mask: Tensor | None


_NO_CALL = _Call(cache=None, past_tokens=0, segment_ids=None, padding_mask=None)


class Attachment:
    """The hooks of one model. The decoder's pre-hook opens a call, the layers' hooks read it.

    One forward pass at a time: a model must not be run by several threads at once.
    """

    def __init__(self, decoder: Decoder, layers: Sequence[int]) -> None:
        self._num_layers = len(decoder.layers)
        self._mixed_layers = list(layers)
        self._config = decoder.config
        self._argument_names = list(inspect.signature(decoder.module.forward).parameters)
        self._call: _Call | None = None
        self._last_call = _NO_CALL
        self._handles: list[RemovableHandle] = [
            decoder.module.register_forward_pre_hook(self._open_call, with_kwargs=True),
            decoder.module.register_forward_hook(self._close_call, always_call=True),
            *(
                decoder.layers[index].register_forward_hook(_AfterLayer(self, index))
                for index in layers
            ),
        ]

    def remove(self) -> None:
        """Take all hooks off again."""
        for handle in self._handles:
            handle.remove()

    def _open_call(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = {**dict(zip(self._argument_names, args, strict=False)), **kwargs}
        tokens = next(
            kwargs[name]
            for name in ("input_ids", "inputs_embeds", "hidden_states")
            if kwargs.get(name) is not None
        )
        segment_ids = kwargs.pop("segment_ids", None)
        if segment_ids is None:
            segment_ids = kwargs.get("seq_idx")

        cache = kwargs.get("past_key_values")
        if cache is None and self._wants_cache(module, kwargs.get("use_cache")):
            cache = kwargs["past_key_values"] = DynamicCache(config=self._config)
        if cache is not None:
            if segment_ids is not None:
                raise UserError(
                    "packed documents (segment_ids or seq_idx) cannot be continued from a cache: "
                    "pass use_cache=False"
                )
            carry_mixer_state(cache, self._num_layers, self._mixed_layers)
        past_tokens = 0 if cache is None else cache.get_seq_length()
        padding_mask = find_padding(
            kwargs.get("attention_mask"), tokens.shape[1], cache, self._config
        )
        self._call = _Call(cache, past_tokens, segment_ids, padding_mask)
        return (), kwargs

    def _close_call(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._call is not None and module.training:
            self._last_call = dataclasses.replace(self._call, cache=None, past_tokens=0)
        self._call = None

    def _wants_cache(self, module: nn.Module, use_cache: bool | None) -> bool:
        if use_cache is None:
            use_cache = getattr(self._config, "use_cache", False)
        return bool(use_cache) and not module.training

    def mix(
        self, layer: nn.Module, mixer: nn.Module, hidden_states: Tensor, layer_index: int
    ) -> Tensor:
        """Run one layer's mixer with what the current call of the decoder says."""
        call = self._call
        if call is None:
            # With older versions of transformers, gradient checkpointing runs the hooks once more
            # in the backward pass, when the decoder's call is over. Otherwise the layer was
            # called by itself.
            again = layer.training and getattr(layer, "gradient_checkpointing", False)
            call = self._last_call if again else _NO_CALL
        state = (
            None if call.cache is None else CacheState(call.cache, layer_index, call.past_tokens)
        )
        mixed: Tensor = mixer(
            hidden_states,
            state=state,
            segment_ids=call.segment_ids,
            padding_mask=call.padding_mask,
        )
        return mixed


class _AfterLayer:
    """Forward hook of a decoder layer: its hidden states go through its mixer."""

    def __init__(self, attachment: Attachment, layer_index: int) -> None:
        self._attachment = attachment
        self._layer_index = layer_index

    def __call__(self, layer: nn.Module, args: Any, output: Any) -> Any:
        mixer = getattr(layer, MIXER_NAME)
        if isinstance(output, Tensor):
            return self._attachment.mix(layer, mixer, output, self._layer_index)
        mixed = self._attachment.mix(layer, mixer, output[0], self._layer_index)
        return (mixed, *output[1:])
