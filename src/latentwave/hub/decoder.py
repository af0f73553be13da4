"""Find the decoder layers of a transformers model."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.attached import find_anchor
from latentwave.hub.cache import CACHE_ARGUMENTS, cache_argument
from latentwave.hub.points import Site
from latentwave.mixers import head_roles
from latentwave.mixers.base import Projection


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """The part of a model that runs the decoder layers in order.

    Attributes:
        module: the module whose forward loops over the layers, or one that contains it.
        layers: the decoder layers in order.
        config: their transformers configuration, if there is one.
        channels: width of the residual stream between them.
        context_length: number of tokens they are built for, if known.
        name: path of the list of layers inside `module`; None for a plain model whose layers do
            not come from a single list.
    """

    module: nn.Module
    layers: list[nn.Module]
    config: PretrainedConfig | None
    channels: int
    context_length: int | None
    name: str | None = None


def is_transformers(model: nn.Module) -> bool:
    """Whether it is a transformers model, perhaps wrapped by `torch.compile` or PEFT."""
    config = getattr(model, "config", None)
    return any(
        isinstance(module, PreTrainedModel) and module.config is config
        for module in model.modules()
    )


def transformers_part(model: nn.Module) -> tuple[str, PreTrainedModel] | None:
    """The first transformers model inside another model, and its path there."""
    named = model.named_modules()
    return next(((n, m) for n, m in named if isinstance(m, PreTrainedModel)), None)


def find_decoder(model: nn.Module) -> Decoder:
    """Find the decoder layers of a causal language model.

    They are the one list of `config.num_hidden_layers` modules, at least one of which contains
    an attention module. Among several such lists, it is the one whose owner holds the language
    model's configuration.

    Raises:
        UserError: for encoder-decoders and cross-attention, and if no list or several fit.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, PretrainedConfig):
        inside = transformers_part(model)
        advice = 'pass the path of its decoder layers, as in layers="transformer.h"'
        if inside is not None:
            advice = f"use the one inside it, {type(inside[1]).__name__} at {inside[0]!r}"
        raise UserError(f"{type(model).__name__} is not a transformers model: {advice}")
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
            f"{type(model).__name__} has no nn.ModuleList of num_hidden_layers = {num_layers} "
            'modules, one of them with a child named like "attn" or "attention", so its decoder '
            "layers cannot be found: use a model that has one"
        )
    if len(found) > 1:
        described = ", ".join(f"{type(owner).__name__}.{name}" for owner, name, _ in found)
        raise UserError(
            f"{type(model).__name__} has {len(found)} lists of {num_layers} decoder layers "
            f"({described}): attach to the submodel that holds only one"
        )
    owner, name, layers = found[0]
    return Decoder(
        module=owner,
        layers=[uncompiled(layer) for layer in layers],
        config=config,
        channels=config.hidden_size,
        context_length=getattr(config, "max_position_embeddings", None),
        name=name,
    )


class _ReachedError(Exception):
    """Raised with the input of the first layer when a run reaches it."""


def check_form(decoder: Decoder, *, between: bool) -> None:
    """Refuse a transformers decoder that cannot run mixers in its layers, or `between` them.

    Runs the decoder on two tokens: it must accept a transformers cache, and the input of its first
    layer must be (B, T, D). Skips decoders that are sharded or do not take token ids.
    """
    model: Any = decoder.module
    arguments = inspect.signature(model.forward).parameters.keys()
    if "use_cache" in arguments and not arguments & set(CACHE_ARGUMENTS):
        raise UserError(
            f"{type(model).__name__} keeps its past outside of transformers' cache, which carries "
            "the mixers' state: generation would forget it"
        )
    weight = next(model.parameters(), None)
    if weight is None or any(type(each).__name__ == "DTensor" for each in model.parameters()):
        return

    def reached(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        raise _ReachedError(args[0] if args else kwargs.get("hidden_states"))

    ids = torch.zeros(1, 2, dtype=torch.int64, device=weight.device)
    cached = {"use_cache": True, cache_argument(model): DynamicCache(config=decoder.config)}
    signal = None
    hook = decoder.layers[0].register_forward_pre_hook(reached, with_kwargs=True)
    with hook, torch.no_grad(), eval_mode(model):
        for how in ({"use_cache": False}, cached):
            try:
                model(input_ids=ids, **how)
            except _ReachedError as stop:
                (signal,) = stop.args
            except Exception as error:
                if signal is None:
                    return
                raise UserError(
                    f"{type(model).__name__} cannot run with the transformers cache that carries "
                    f"the mixers' state: {error}"
                ) from error
    shape = tuple(signal.shape) if isinstance(signal, Tensor) else ()
    if shape != (1, 2, decoder.channels) and (between or len(shape) == 3):
        raise UserError(
            f"the layers of {type(model).__name__} take an input of shape {shape} for (1, 2) "
            f"tokens, but mixers need (batch, tokens, {decoder.channels}): choose points inside "
            "the layers where the signal has that shape, or another model"
        )


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode for the block."""
    training = [module for module in model.modules() if module.training]
    model.train(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The decoder layers of a model, in order.

    Raises:
        UserError: if they cannot be found.
    """
    anchor = find_anchor(model)
    return find_decoder(model).layers if anchor is None else list(anchor._mixed_layers)


def _are_layers(modules: nn.ModuleList) -> bool:
    """Whether at least one has attention; others may be convolutional or recurrent."""
    return any(
        "attn" in name or "attention" in name
        for module in modules
        for name, _ in uncompiled(module).named_children()
    )


def projection_at(decoder: Decoder, site: Site) -> Projection:
    """The heads and rotary width of a linear map inside attention, as far as they are known."""
    name = site.path.rpartition(".")[2]
    if decoder.config is None:
        return Projection(name=name)
    config: Any = decoder.config
    num_heads: int = config.num_attention_heads
    named = (getattr(config, each, None) for each in ("num_key_value_heads", "num_kv_heads"))
    num_shared = next(filter(None, named), num_heads)  # heads of keys and of values
    new = getattr(config, "new_decoder_architecture", False)  # of Falcon
    if getattr(config, "multi_query", False) and not new:
        num_shared = 1
    if config.model_type == "codegen":  # in four parts, one per device of its training
        heads = "".join(role * (num_heads // 4) for role in "qvk") * 4
    elif config.model_type == "gpt_bigcode" and not config.multi_query:
        heads = "qkv" * num_heads
    else:
        heads = head_roles(name, num_heads, num_shared)
    width = getattr(config, "rotary_dim", None)
    rope = getattr(config, "rope_parameters", None) or {}
    if getattr(config, "layer_types", None):
        rope = rope.get(config.layer_types[site.layer_index], rope) or {}
    factor = rope.get("partial_rotary_factor")
    # "proportional" rotates pairs of the whole head, some of them by an angle of 0.
    if width is None and factor is not None and rope.get("rope_type") != "proportional":
        width = int(site.channels // len(heads) * factor)
    return Projection(name=name, heads=heads, rotary_width=width)


def uncompiled(module: nn.Module) -> nn.Module:
    """The module inside the wrapper of `torch.compile`, or the module itself."""
    inner = getattr(module, "_orig_mod", module)
    return inner if isinstance(inner, nn.Module) else module


def without_adapters(model: nn.Module) -> nn.Module:
    """The model inside PEFT's, or the model itself."""
    base = getattr(model, "get_base_model", None)  # found through a wrapper of `torch.compile` too
    return cast(nn.Module, model if base is None else base())
