"""The hooks that run the mixers inside a transformers model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import Cache

from latentwave.errors import UserError
from latentwave.hub.cache import CacheState, carry_mixer_state
from latentwave.hub.decoder import Decoder
from latentwave.hub.padding import find_padding
from latentwave.hub.points import Site
from latentwave.hub.recomputing import forget_calls, is_checkpointed, remember_calls
from latentwave.mixers.state import MixerState, PartState


@dataclasses.dataclass(frozen=True)
class _Call:
    """What the mixers need to know of one forward pass of the decoder."""

    cache: Cache | None
    past_tokens: int | Tensor  # static caches count in a tensor
    segment_ids: Tensor | None
    padding_mask: Tensor | None


_NO_CALL = _Call(cache=None, past_tokens=0, segment_ids=None, padding_mask=None)


class Attachment:
    """The hooks of one model. The decoder's pre-hook opens a call, the mixers' hooks read it.

    One forward pass at a time: a model must not be run by several threads at once.
    """

    def __init__(self, decoder: Decoder, sites: Sequence[Site]) -> None:
        self._num_layers = len(decoder.layers)
        self._layers = {site.layer_index: decoder.layers[site.layer_index] for site in sites}
        self._first_config = decoder.config
        self._argument_names = list(inspect.signature(decoder.module.forward).parameters)
        self._call: _Call | None = None
        self._handles: list[RemovableHandle] = [
            decoder.module.register_forward_pre_hook(self._open_call, with_kwargs=True),
            decoder.module.register_forward_hook(self._close_call, always_call=True),
        ]
        self._hooks = [_Hook(self, decoder.layers[site.layer_index], site) for site in sites]

    def remove(self) -> None:
        """Take all hooks off again."""
        for handle in self._handles:
            handle.remove()
        for hook in self._hooks:
            hook.remove()
        for layer in self._layers.values():
            forget_calls(layer)

    def _open_call(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in self._hooks:
            hook.follow()
        for layer in self._layers.values():
            remember_calls(layer, self._reopen_call)
        kwargs = {**dict(zip(self._argument_names, args, strict=False)), **kwargs}
        names = ("input_ids", "inputs_embeds", "hidden_states")
        tokens = next((kwargs[name] for name in names if kwargs.get(name) is not None), None)
        if tokens is None:
            return (), kwargs  # the model says so itself
        segment_ids = kwargs.pop("segment_ids", None)
        if segment_ids is None:
            segment_ids = kwargs.get("seq_idx")

        cache = kwargs.get("past_key_values")
        if cache is None and self._wants_cache(module, kwargs.get("use_cache")):
            cache = kwargs["past_key_values"] = DynamicCache(config=self._config(module))
        if cache is not None:
            if segment_ids is not None:
                raise UserError(
                    "packed documents (segment_ids or seq_idx) cannot be continued from a cache: "
                    "pass use_cache=False"
                )
            carry_mixer_state(cache, self._num_layers, sorted(self._layers))
        elif segment_ids is None and kwargs.get("attention_mask") is None:
            segment_ids = _documents(kwargs.get("position_ids"), tokens)
        past_tokens = 0 if cache is None else cache.get_seq_length()
        padding_mask = find_padding(
            kwargs.get("attention_mask"), tokens.shape[1], cache, self._config(module)
        )
        self._call = _Call(cache, past_tokens, segment_ids, padding_mask)
        return (), kwargs

    def _close_call(self, module: nn.Module, args: Any, output: Any) -> None:
        self._call = None

    def _reopen_call(self) -> Callable[[], contextlib.AbstractContextManager[None]]:
        return functools.partial(self._opened, self._call)

    @contextlib.contextmanager
    def _opened(self, call: _Call | None) -> Iterator[None]:
        before, self._call = self._call, call
        try:
            yield
        finally:
            self._call = before

    def _config(self, module: nn.Module) -> PretrainedConfig:
        """The decoder's configuration as it is now: models are given others, and they change."""
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig):
            return config.get_text_config(decoder=True)
        return self._first_config

    def _wants_cache(self, module: nn.Module, use_cache: bool | None) -> bool:
        if use_cache is None:
            use_cache = getattr(self._config(module), "use_cache", False)
        return bool(use_cache) and not module.training

    def mix(self, layer: nn.Module, site: Site, signal: Tensor) -> Tensor:
        """Run the mixer of a site with what the current call of the decoder says."""
        mixer = getattr(layer, site.name)
        call = self._call or _NO_CALL  # the layer may be called by itself
        state: MixerState | None = None
        # As for attention, a layer that will be run again cannot write into a cache.
        if call.cache is not None and not is_checkpointed(layer):
            state = CacheState(call.cache, site.layer_index, call.past_tokens)
            if site.path:
                state = PartState(state, f"{site.name}.")
        mixed: Tensor = mixer(
            signal,
            state=state,
            segment_ids=call.segment_ids,
            padding_mask=call.padding_mask,
        )
        return mixed


def _documents(position_ids: Tensor | None, tokens: Tensor) -> Tensor | None:
    """Packed documents that positions alone tell: each begins where they do not go on by one.

    As in attention, which separates them by the same rule if there is neither a mask nor a cache.
    """
    if position_ids is None or position_ids.dim() != 2 or position_ids.shape[1] != tokens.shape[1]:
        return None
    begins = position_ids.diff(dim=1) != 1
    return F.pad(begins.cumsum(dim=1), (1, 0)).expand(tokens.shape[0], -1)


class _Hook:
    """The hook of one mixer, on the module whose input or output it mixes."""

    def __init__(self, attachment: Attachment, layer: nn.Module, site: Site) -> None:
        self._attachment = attachment
        self._layer = layer
        self._site = site
        self._put_on(site.module(layer))

    def _put_on(self, module: nn.Module) -> None:
        self._module = module
        if self._site.before:
            self._argument = next(iter(inspect.signature(module.forward).parameters))
            self._handle = module.register_forward_pre_hook(self._mix_input, with_kwargs=True)
        else:
            # Before hooks that others put there, such as those that record hidden states.
            self._handle = module.register_forward_hook(self._mix_output, prepend=True)

    def remove(self) -> None:
        """Take the hook off again."""
        self._handle.remove()

    def follow(self) -> None:
        """Move to the module that stands in the old one's place, if another does.

        Adapters and quantisation replace linear maps by others, which may hold the old one: its
        output is then a part of the signal only.
        """
        module = self._site.module(self._layer)
        if module is not self._module:
            self.remove()
            self._put_on(module)

    def _mix_input(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (self._mix(args[0]), *args[1:]), kwargs
        return (), kwargs | {self._argument: self._mix(kwargs[self._argument])}

    def _mix_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._mix(output)
        return (self._mix(output[0]), *output[1:])

    def _mix(self, signal: Tensor) -> Tensor:
        return self._attachment.mix(self._layer, self._site, signal)
