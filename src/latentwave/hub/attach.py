"""Insert mixers between or inside the decoder layers of a model, and take them out again."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.configs import CONFIG_NAME, forget_mixers, remember_mixers, saved_mixers
from latentwave.hub.decoder import Decoder, find_decoder, head_counts
from latentwave.hub.mixed import (
    MixedDecoder,
    MixedLayer,
    mix_decoder,
    mix_layer,
    unmix_decoder,
    unmix_layer,
)
from latentwave.hub.points import MIXER_NAME, Point, Site, as_points, find_sites, point_of
from latentwave.mixers import Mixer, MixerConfig, build_mixer, default_points
from latentwave.mixers.registry import as_config

FORMAT_VERSION = 1  # of the mixers' entry in the model's configuration

_NOT_OURS = f"the configuration's entry {CONFIG_NAME!r} is not one that attach wrote: {{!r}}"

Placement = Literal["between", "all"] | Sequence[int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttachedMixer:
    """A mixer and where it stands.

    Attributes:
        layer_index: of its decoder layer.
        point: see `attach`.
        name: among the layer's submodules; its weights stand under it in a checkpoint.
        mixer: the module.
    """

    layer_index: int
    point: Point
    name: str
    mixer: Mixer


def attach(
    model: PreTrainedModel,
    mixer: str | MixerConfig = "best",
    *,
    placement: Placement | None = None,
    points: str | Sequence[str] | None = None,
    context_length: int | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Insert mixers between or inside the decoder layers of a model, in place.

    Names of the backbone's own weights do not change; mixers with parameters add theirs as
    `….latentwave_mixer.*` behind a layer and as `….latentwave_mixer_mlp.*`,
    `….latentwave_mixer_qkv_q_proj.*` and so on inside. The model keeps working with `generate`,
    whose cache then carries the mixers' state too. The configuration remembers the mixers.

    Reference: "attention", "qkv", "mlp" and "mlp_hidden" are the points A to D of the canon layers
    (Allen-Zhu, 2025), for any mixer.

    Args:
        model: a transformers decoder such as `GPT2LMHeadModel`.
        mixer: a kind (see `list_mixers`), a `MixerConfig`, or "best": the mixer, options and points
            that reached a loss soonest in the measurements that the docs show. A later version may
            choose others; a saved model keeps those that it was trained with.
        placement: which layers: "between" means every layer but the last, "all" every layer, a
            list of indices those layers. Default: "between" for "block", "all" for other points.
        points: where in such a layer, one or several; default: what `default_points(kind)` says,
            "block" for most kinds. "block": behind it.
            "attention": the normalised input of attention. "qkv": queries, keys and values, a
            mixer for each projection, before heads are formed. "attention_output": what the
            attention module returns, before it is added to the residual stream. "mlp": the
            normalised input of the MLP. "mlp_hidden": the outputs of its hidden projections,
            before the activation. "mlp_output": what it returns, before it is added.
        context_length: tokens that the mixers are laid out for; default: the model's
            `max_position_embeddings`.
        **options: of the mixer.

    Returns:
        The same model.

    Raises:
        UserError: if mixers are attached already, the decoder layers or a point in them cannot
            be found, or a name is unknown.
        ValueError: for an option value that the mixer refuses.

    Causality: a causal mixer leaves the model causal; `assert_causal` proves it.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=3, n_head=2)
        >>> model = attach(GPT2LMHeadModel(config), "wavelet", fraction=0.5)
        >>> len(attached_mixers(model))
        2
        >>> model = attach(GPT2LMHeadModel(config), "short_conv", points=["qkv", "mlp"])
        >>> [each.name for each in all_mixers(model) if each.layer_index == 0]
        ['latentwave_mixer_qkv_c_attn', 'latentwave_mixer_mlp']
    """
    config = as_config(mixer, options)
    points = default_points(config.kind) if points is None else points
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UserError(
            f"this {type(model).__name__} is on the meta device: its weights are not there yet, "
            "and mixers that start from values of their own would lose them. Load the weights "
            "first, or let from_pretrained of a checkpoint with mixers do both"
        )
    entry = _insert(model, config.resolved(), placement, as_points(points), context_length)
    remember_mixers(model, entry)
    for each in all_mixers(model):
        for module in each.mixer.modules():  # transformers is not to initialise them again
            module._is_hf_initialized = True  # type: ignore[assignment]
    return model


def _insert(
    model: PreTrainedModel,
    config: MixerConfig,
    placement: Placement | None,
    points: tuple[Point, ...],
    context_length: int | None,
) -> dict[str, Any]:
    """Put the mixers in; returns what the configuration is to remember."""
    decoder = find_decoder(model)
    if isinstance(decoder.module, MixedDecoder):
        kind = (saved_mixers(model) or {}).get("kind", "other")
        raise UserError(f"{kind!r} mixers are attached already: call detach(model) first")
    placement = _as_placement(placement)
    _check_savable(config)
    if placement is None and len({_default_placement(point) for point in points}) == 1:
        placement = _default_placement(points[0])
    if context_length is None:
        context_length = getattr(decoder.config, "max_position_embeddings", None)
    if context_length is None:
        raise UserError(
            f"the configuration of {type(model).__name__} does not say how long its context is "
            "(max_position_embeddings): pass context_length"
        )

    # All are built before any is inserted, so that a refusal leaves the model as it was.
    sites = _find_all(decoder, placement, points)
    configs = [_config_at(site, config, decoder) for site in sites]
    sites = [site for site, own in zip(sites, configs, strict=True) if own is not None]
    mixers = [
        build_mixer(own, channels=site.channels, context_length=context_length)
        for site, own in zip(sites, filter(None, configs), strict=True)
    ]
    for site, built in zip(sites, mixers, strict=True):
        layer = decoder.layers[site.layer_index]
        built.train(layer.training)
        built.add_marker()
        layer.add_module(site.name, _like(built, site.module(layer), layer))
    for index in sorted({site.layer_index for site in sites}):
        mix_layer(decoder.layers[index], [site for site in sites if site.layer_index == index])
    mix_decoder(decoder.module, decoder.config, len(decoder.layers))
    return {
        "format_version": FORMAT_VERSION,
        "kind": config.kind,
        "options": copy.deepcopy(dict(config.options)),
        "placement": placement,
        "points": list(points),
        "context_length": context_length,
    }


def _config_at(site: Site, config: MixerConfig, decoder: Decoder) -> MixerConfig | None:
    """The mixer at a site, None where it does not stand."""
    if site.point != "qkv":
        return config
    num_heads, shared = head_counts(decoder.config)
    return config.at_projection(
        site.path.rpartition(".")[2], num_heads=num_heads, num_key_value_heads=shared
    )


def _as_placement(placement: Any) -> Placement | None:
    """Plain values, whatever holds the indices."""
    if placement is None or isinstance(placement, str):
        return cast("Placement | None", placement)  # words are looked at where layers are chosen
    try:
        return [operator.index(index) for index in placement]
    except TypeError:
        raise UserError(
            f'placement must be "between", "all" or a list of layer indices, got {placement!r}'
        ) from None


def _check_savable(config: MixerConfig) -> None:
    """A model that cannot be saved should not be trained."""
    for name, value in config.options.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"the option {name}={value!r} cannot be saved with the model ({error}): use plain "
                "numbers, strings and lists"
            ) from error


def _find_all(
    decoder: Decoder, placement: Placement | None, points: tuple[Point, ...]
) -> list[Site]:
    sites: list[Site] = []
    for point in points:
        chosen = _default_placement(point) if placement is None else placement
        for index in _chosen_layers(chosen, len(decoder.layers)):
            layer = decoder.layers[index]
            sites += find_sites(
                layer, layer_index=index, point=point, hidden_size=decoder.config.hidden_size
            )
    for site in sites:
        layer = decoder.layers[site.layer_index]
        if hasattr(layer, site.name):
            raise UserError(
                f"{type(layer).__name__} {site.layer_index} has an attribute {site.name!r} already"
            )
    return sites


def attach_from_config(model: PreTrainedModel, saved: Mapping[str, Any]) -> PreTrainedModel:
    """Attach what a configuration remembers (its entry "latentwave").

    Raises:
        UserError: if the entry lacks a key or names what this version does not know.
    """
    version = saved.get("format_version") if isinstance(saved, Mapping) else None
    if not isinstance(version, int):
        raise UserError(_NOT_OURS.format(saved))
    if version > FORMAT_VERSION:
        raise UserError(
            f"the mixers were saved by a newer latentwave (format {version}, this version reads "
            f"up to {FORMAT_VERSION}): upgrade with `pip install -U latentwave`"
        )
    try:
        kind, options = saved["kind"], saved["options"]
        placement, context_length = saved["placement"], saved["context_length"]
        points = as_points(saved["points"])
        config = MixerConfig(kind=kind, options=options)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(_NOT_OURS.format(saved)) from error
    remember_mixers(model, _insert(model, config, placement, points, context_length))
    return model


def detach(model: PreTrainedModel) -> PreTrainedModel:
    """Take the mixers out again, in place; the backbone's weights stay as they are.

    Returns:
        The same model.

    Raises:
        UserError: if no mixers are attached.
    """
    decoder = find_decoder(model)
    if not isinstance(decoder.module, MixedDecoder):
        raise UserError(f"no mixers are attached to this {type(model).__name__}")
    unmix_decoder(decoder.module)
    for layer in decoder.layers:
        if isinstance(layer, MixedLayer):
            unmix_layer(layer)
        for name in [name for name, _ in layer.named_children() if point_of(name)]:
            delattr(layer, name)
    forget_mixers(model)
    return model


def is_attached(model: PreTrainedModel) -> bool:
    """Whether mixers are attached to the model or to a model inside it."""
    return any(isinstance(module, MixedDecoder) for module in model.modules())


def all_mixers(model: PreTrainedModel) -> list[AttachedMixer]:
    """The mixers of a model, at whatever point, layer by layer; empty without any.

    Raises:
        UserError: if the decoder layers cannot be told.
    """
    return [
        AttachedMixer(layer_index=index, point=point, name=name, mixer=_unwrapped(module))
        for index, layer in enumerate(find_decoder(model).layers)
        for name, module in layer.named_children()
        if (point := point_of(name)) is not None
    ]


def attached_mixers(model: PreTrainedModel) -> dict[int, Mixer]:
    """The mixers behind layers, by the index of the layer; see `all_mixers` for those inside."""
    return {each.layer_index: each.mixer for each in all_mixers(model) if each.name == MIXER_NAME}


def _unwrapped(module: nn.Module) -> Mixer:
    """The mixer in use; PEFT wraps the one it trains behind the original."""
    return list(_outermost(module))[-1]


def _outermost(module: nn.Module) -> Iterator[Mixer]:
    if isinstance(module, Mixer):
        yield module
    else:
        for child in module.children():
            yield from _outermost(child)


def _default_placement(point: Point) -> Placement:
    return "between" if point == "block" else "all"


def _chosen_layers(placement: Placement, num_layers: int) -> list[int]:
    if placement == "between":
        if num_layers < 2:
            raise UserError('placement "between" needs at least 2 layers, got 1: use "all"')
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


def _like(mixer: Mixer, module: nn.Module, layer: nn.Module) -> Mixer:
    """Move a mixer to where floating-point weights are, in their precision.

    Those of the module that it filters, or of the whole layer where that one is quantised.
    """
    weights = itertools.chain(_floating_parameters(module), _floating_parameters(layer))
    weight = next(weights, None)
    return mixer if weight is None else mixer.to(device=weight.device, dtype=weight.dtype)


def _floating_parameters(module: nn.Module) -> Iterator[Tensor]:
    return (p for p in module.parameters() if torch.is_floating_point(p))
