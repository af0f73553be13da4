"""Insert mixers between the decoder layers of a transformers model, and take them out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from latentwave.errors import UserError
from latentwave.hub.cache import CacheState, carry_mixer_state
from latentwave.hub.decoder import Decoder, find_decoder
from latentwave.mixers import Mixer, MixerConfig, build_mixer
from latentwave.mixers.registry import as_config

# The name of a mixer among its decoder layer's submodules, and of its entry in the config.
MIXER_NAME = "latentwave_mixer"
CONFIG_NAME = "latentwave"
_ATTACHMENT = "_latentwave_attachment"

Placement = Literal["between", "all"] | Sequence[int]


def attach(
    model: PreTrainedModel,
    mixer: str | MixerConfig,
    *,
    placement: Placement = "between",
    context_length: int | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Insert mixers between the decoder layers of a model, in place.

    Names of the backbone's own weights do not change; mixers with parameters add theirs as
    `….latentwave_mixer.*`. The model keeps working with `generate`, whose cache then carries the
    mixers' state too. The configuration remembers the mixers.

    Args:
        model: a transformers decoder such as `GPT2LMHeadModel`.
        mixer: a kind (see `list_mixers`) or a `MixerConfig`.
        placement: "between" puts a mixer after every layer but the last, "all" after every
            layer, a list of indices after those layers.
        context_length: tokens that the mixers are laid out for; default: the model's
            `max_position_embeddings`.
        **options: of the mixer.

    Returns:
        The same model.

    Raises:
        UserError: if mixers are attached already, the decoder layers cannot be found, or a name
            is unknown.
        ValueError: for an option value that the mixer refuses.

    Causality: a causal mixer leaves the model causal; `assert_causal` proves it.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=3, n_head=2)
        >>> model = attach(GPT2LMHeadModel(config), "wavelet", fraction=0.5)
        >>> len(attached_mixers(model))
        2
    """
    config = as_config(mixer, options)
    decoder = find_decoder(model)
    if hasattr(decoder.module, _ATTACHMENT):
        kind = getattr(model.config, CONFIG_NAME)["kind"]
        raise UserError(f"{kind!r} mixers are attached already: call detach(model) first")
    layers = _chosen_layers(placement, len(decoder.layers))
    if context_length is None:
        context_length = decoder.config.max_position_embeddings

    # All are built before any is inserted, so that a refusal leaves the model as it was.
    mixers = {
        index: build_mixer(
            config, channels=decoder.config.hidden_size, context_length=context_length
        )
        for index in layers
    }
    for index, built in mixers.items():
        layer = decoder.layers[index]
        if hasattr(layer, MIXER_NAME):
            raise UserError(
                f"{type(layer).__name__} {index} has an attribute {MIXER_NAME!r} already"
            )
        built.train(layer.training)
        layer.add_module(MIXER_NAME, _like(built, layer))
    setattr(decoder.module, _ATTACHMENT, _Attachment(decoder, layers))
    setattr(
        model.config,
        CONFIG_NAME,
        {
            "kind": config.kind,
            "options": dict(config.options),
            "placement": placement if isinstance(placement, str) else list(placement),
            "context_length": context_length,
        },
    )
    return model


def attach_from_config(model: PreTrainedModel, saved: Mapping[str, Any]) -> PreTrainedModel:
    """Attach what a configuration remembers (its entry "latentwave").

    Raises:
        UserError: if the entry lacks a key or names what this version does not know.
    """
    try:
        config = MixerConfig(kind=saved["kind"], options=saved["options"])
        placement, context_length = saved["placement"], saved["context_length"]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the configuration's entry {CONFIG_NAME!r} is not one that attach wrote: {saved!r}"
        ) from error
    return attach(model, config, placement=placement, context_length=context_length)


def detach(model: PreTrainedModel) -> PreTrainedModel:
    """Take the mixers out again, in place; the backbone's weights stay as they are.

    Returns:
        The same model.

    Raises:
        UserError: if no mixers are attached.
    """
    decoder = find_decoder(model)
    attachment = getattr(decoder.module, _ATTACHMENT, None)
    if attachment is None:
        raise UserError(f"no mixers are attached to this {type(model).__name__}")
    attachment.remove()
    delattr(decoder.module, _ATTACHMENT)
    for layer in decoder.layers:
        if hasattr(layer, MIXER_NAME):
            delattr(layer, MIXER_NAME)
    delattr(model.config, CONFIG_NAME)
    return model


def attached_mixers(model: PreTrainedModel) -> dict[int, Mixer]:
    """The mixers of a model by the index of the layer that they follow; empty without any."""
    layers = find_decoder(model).layers
    return {
        index: getattr(layer, MIXER_NAME)
        for index, layer in enumerate(layers)
        if hasattr(layer, MIXER_NAME)
    }


@dataclasses.dataclass
class _Call:
    """What the mixers need to know of one forward pass of the decoder."""

    cache: Cache | None
    segment_ids: Tensor | None
    padding_mask: Tensor | None


class _Attachment:
    """The hooks of one model. The decoder's pre-hook opens a call, the layers' hooks read it.

    One forward pass at a time: a model must not be run by several threads at once.
    """

    def __init__(self, decoder: Decoder, layers: Sequence[int]) -> None:
        self._num_layers = len(decoder.layers)
        self._mixed_layers = list(layers)
        self._config = decoder.config
        self._argument_names = list(inspect.signature(decoder.module.forward).parameters)
        self._call: _Call | None = None
        self._handles: list[RemovableHandle] = [
            decoder.module.register_forward_pre_hook(self._open_call, with_kwargs=True),
            decoder.module.register_forward_hook(self._close_call, always_call=True),
            *(
                decoder.layers[index].register_forward_hook(_AfterLayer(self, index))
                for index in layers
            ),
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _open_call(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = {**dict(zip(self._argument_names, args, strict=False)), **kwargs}
        tokens = kwargs.get("input_ids")
        if tokens is None:
            tokens = kwargs["inputs_embeds"]
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
        padding_mask = _padding_mask(kwargs.get("attention_mask"), tokens.shape[1], cache)
        self._call = _Call(cache, segment_ids, padding_mask)
        return (), kwargs

    def _close_call(self, module: nn.Module, args: Any, output: Any) -> None:
        self._call = None

    def _wants_cache(self, module: nn.Module, use_cache: bool | None) -> bool:
        if use_cache is None:
            use_cache = getattr(self._config, "use_cache", False)
        return bool(use_cache) and not module.training

    def mix(self, mixer: Mixer, hidden_states: Tensor, layer_index: int) -> Tensor:
        call = self._call
        if call is None:  # the layer was called by itself, outside its decoder
            call = _Call(None, None, None)
        state = None if call.cache is None else CacheState(call.cache, layer_index)
        mixed: Tensor = mixer(
            hidden_states,
            state=state,
            segment_ids=call.segment_ids,
            padding_mask=call.padding_mask,
        )
        return mixed


class _AfterLayer:
    """Forward hook of a decoder layer: its hidden states go through its mixer."""

    def __init__(self, attachment: _Attachment, layer_index: int) -> None:
        self._attachment = attachment
        self._layer_index = layer_index

    def __call__(self, layer: nn.Module, args: Any, output: Any) -> Any:
        mixer = getattr(layer, MIXER_NAME)
        if isinstance(output, Tensor):
            return self._attachment.mix(mixer, output, self._layer_index)
        mixed = self._attachment.mix(mixer, output[0], self._layer_index)
        return (mixed, *output[1:])


def _padding_mask(attention_mask: Any, num_tokens: int, cache: Cache | None) -> Tensor | None:
    """Which of the new tokens are real, from whatever mask the decoder is given.

    (batch, past + new): its last part. (batch, 1, new, keys), as static caches are run with: a
    token is padding when it may not even attend to itself.
    """
    if isinstance(attention_mask, dict):  # one mask per type of attention layer
        attention_mask = next((m for m in attention_mask.values() if m is not None), None)
    if attention_mask is None:
        return None
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 2:
        return attention_mask[:, attention_mask.shape[1] - num_tokens :].bool()
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 4:
        rows = torch.arange(num_tokens, device=attention_mask.device)
        past = cache.get_seq_length() if cache is not None else 0
        itself = attention_mask[:, 0, rows, past + rows]
        return itself if itself.dtype == torch.bool else itself == 0
    raise UserError(
        "mixers need the attention mask as (batch, tokens), 1 for real tokens, to tell which "
        f"tokens are padding; got {type(attention_mask).__name__}"
        + (f" of shape {tuple(attention_mask.shape)}" if hasattr(attention_mask, "shape") else "")
    )


def _chosen_layers(placement: Placement, num_layers: int) -> list[int]:
    if placement == "between":
        return list(range(num_layers - 1))
    if placement == "all":
        return list(range(num_layers))
    if isinstance(placement, str):
        raise UserError(
            f'placement must be "between", "all" or a list of layer indices, got {placement!r}'
        )
    chosen = sorted(set(placement))
    if not chosen or not all(0 <= index < num_layers for index in chosen):
        raise UserError(f"placement must name layers 0 to {num_layers - 1}, got {list(placement)}")
    return chosen


def _like(mixer: Mixer, layer: nn.Module) -> Mixer:
    """Move a mixer to where its layer's floating-point weights are."""
    weight = next(_floating_parameters(layer), None)
    return mixer if weight is None else mixer.to(device=weight.device, dtype=weight.dtype)


def _floating_parameters(module: nn.Module) -> Iterator[Tensor]:
    return (p for p in module.parameters() if torch.is_floating_point(p))
