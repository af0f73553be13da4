"""Where a transformers model keeps its decoder layers."""

from __future__ import annotations

import dataclasses

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True)
class Decoder:
    """The part of a model that runs the layers, one after the other.

    Attributes:
        module: the module whose forward loops over the layers.
        layers: the decoder layers, first one first.
        config: the configuration that describes them.
    """

    module: nn.Module
    layers: list[nn.Module]
    config: PretrainedConfig


def find_decoder(model: PreTrainedModel) -> Decoder:
    """Find the decoder layers of a causal language model.

    The rule: the one list of modules that has `config.num_hidden_layers` entries, at least one
    of them with an attention module inside. Of several, the one whose owner carries the language
    model's own configuration.

    Args:
        model: any transformers decoder.

    Returns:
        The module that runs the layers, the layers and their configuration.

    Raises:
        UserError: for encoder-decoders and cross-attention, and when no list or more than one
            fits.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, PretrainedConfig):
        raise UserError(
            f"expected a transformers model, got {type(model).__name__}, which has no config"
        )
    config = config.get_text_config(decoder=True)
    if config.is_encoder_decoder or getattr(config, "add_cross_attention", False):
        raise UserError(
            f"{type(model).__name__} is an encoder-decoder or attends to an encoder; mixers go "
            "between the layers of decoder-only models"
        )
    num_layers = getattr(config, "num_hidden_layers", None)
    found = [
        (owner, name, child)
        for owner in model.modules()
        for name, child in owner.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == num_layers and _are_layers(child)
    ]
    if len(found) > 1:  # a vision tower may be as deep as the language model
        found = [each for each in found if getattr(each[0], "config", None) is config] or found
    if not found:
        raise UserError(
            f"{type(model).__name__} has no list of num_hidden_layers = {num_layers} modules with "
            "attention inside, so there is no telling where mixers should go: they need a "
            "decoder whose layers stand in one nn.ModuleList"
        )
    if len(found) > 1:
        described = ", ".join(f"{type(owner).__name__}.{name}" for owner, name, _ in found)
        raise UserError(
            f"{type(model).__name__} has {len(found)} lists of {num_layers} decoder layers "
            f"({described}): attach to the submodel that holds only one"
        )
    owner, _, layers = found[0]
    return Decoder(module=owner, layers=[_uncompiled(layer) for layer in layers], config=config)


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers of a model, first one first.

    Raises:
        UserError: if they cannot be told.
    """
    return find_decoder(model).layers


def _are_layers(modules: nn.ModuleList) -> bool:
    """Whether at least one has attention; others may convolve or recur instead."""
    return any(
        "attn" in name or "attention" in name
        for module in modules
        for name, _ in _uncompiled(module).named_children()
    )


def head_counts(config: PretrainedConfig) -> tuple[int, int]:
    """Heads of queries, and of keys and values."""
    num_heads: int = config.num_attention_heads
    if getattr(config, "multi_query", False) and not getattr(
        config, "new_decoder_architecture", False
    ):
        return num_heads, 1
    named = (getattr(config, name, None) for name in ("num_key_value_heads", "num_kv_heads"))
    return num_heads, next(filter(None, named), num_heads)


def _uncompiled(layer: nn.Module) -> nn.Module:
    """The layer itself, which `torch.compile` puts into another module."""
    inner = getattr(layer, "_orig_mod", layer)
    return inner if isinstance(inner, nn.Module) else layer
