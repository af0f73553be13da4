"""Insert mixers between the decoder layers of a transformers model, and take them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.configs import give_own_config
from latentwave.hub.decoder import find_decoder
from latentwave.hub.hooks import MIXER_NAME, Attachment
from latentwave.mixers import Mixer, MixerConfig, build_mixer
from latentwave.mixers.registry import as_config, current_options

# The entry of the mixers in the model's configuration, and the version of its form.
CONFIG_NAME = "latentwave"
FORMAT_VERSION = 1
_ATTACHMENT = "_latentwave_attachment"

_NOT_OURS = f"the configuration's entry {CONFIG_NAME!r} is not one that attach wrote: {{!r}}"

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
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UserError(
            f"this {type(model).__name__} is on the meta device: its weights are not there yet, "
            "and mixers that start from values of their own would lose them. Load the weights "
            "first, or let from_pretrained of a checkpoint with mixers do both"
        )
    entry = _insert(model, config, placement, context_length)
    give_own_config(model)
    setattr(model.config, CONFIG_NAME, entry)
    return model


def _insert(
    model: PreTrainedModel,
    config: MixerConfig,
    placement: Placement,
    context_length: int | None,
) -> dict[str, Any]:
    """Put the mixers in; returns what the configuration is to remember."""
    decoder = find_decoder(model)
    if hasattr(decoder.module, _ATTACHMENT):
        kind = getattr(model.config, CONFIG_NAME)["kind"]
        raise UserError(f"{kind!r} mixers are attached already: call detach(model) first")
    layers = _chosen_layers(placement, len(decoder.layers))
    if context_length is None:
        context_length = getattr(decoder.config, "max_position_embeddings", None)
    if context_length is None:
        raise UserError(
            f"the configuration of {type(model).__name__} does not say how long its context is "
            "(max_position_embeddings): pass context_length"
        )

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
        # Nothing computes with it. It makes a mixer without parameters visible in a checkpoint, so
        # that whoever loads that without mixers is told of something that found no place.
        device = next((p.device for p in layer.parameters()), None)
        version = torch.tensor(FORMAT_VERSION, device=device)
        built.register_buffer("format_version", version)
    setattr(decoder.module, _ATTACHMENT, Attachment(decoder, layers))
    return {
        "format_version": FORMAT_VERSION,
        "kind": config.kind,
        "options": dict(config.options),
        "placement": placement if isinstance(placement, str) else list(placement),
        "context_length": context_length,
    }


def attach_from_config(model: PreTrainedModel, saved: Mapping[str, Any]) -> PreTrainedModel:
    """Attach what a configuration remembers (its entry "latentwave").

    Options that have been renamed since are taken under their new names.

    Raises:
        UserError: if the entry lacks a key or names what this version does not know.
    """
    version = saved.get("format_version", 1) if isinstance(saved, Mapping) else None
    if version is None or not isinstance(version, int):
        raise UserError(_NOT_OURS.format(saved))
    if version > FORMAT_VERSION:
        raise UserError(
            f"the mixers were saved by a newer latentwave (format {version}, this version reads "
            f"up to {FORMAT_VERSION}): upgrade with `pip install -U latentwave`"
        )
    try:
        kind, options = saved["kind"], saved["options"]
        placement, context_length = saved["placement"], saved["context_length"]
        config = MixerConfig(kind=kind, options=current_options(kind, options))
    except (KeyError, TypeError) as error:
        raise UserError(_NOT_OURS.format(saved)) from error
    setattr(model.config, CONFIG_NAME, _insert(model, config, placement, context_length))
    return model


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


def is_attached(model: PreTrainedModel) -> bool:
    """Whether mixers are attached to the model or to a model inside it."""
    return any(hasattr(module, _ATTACHMENT) for module in model.modules())


def attached_mixers(model: PreTrainedModel) -> dict[int, Mixer]:
    """The mixers of a model by the index of the layer that they follow; empty without any."""
    layers = find_decoder(model).layers
    return {
        index: _unwrapped(getattr(layer, MIXER_NAME))
        for index, layer in enumerate(layers)
        if hasattr(layer, MIXER_NAME)
    }


def _unwrapped(module: nn.Module) -> Mixer:
    """The mixer in use; PEFT wraps the one it trains behind the original."""
    return [inner for inner in module.modules() if isinstance(inner, Mixer)][-1]


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
    """Move a mixer to where its layer's floating-point weights are, in their precision."""
    weight = next(_floating_parameters(layer), None)
    return mixer if weight is None else mixer.to(device=weight.device, dtype=weight.dtype)


def _floating_parameters(module: nn.Module) -> Iterator[Tensor]:
    return (p for p in module.parameters() if torch.is_floating_point(p))
