"""Insert mixers between or inside the decoder layers of a model, and remove them again."""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from latentwave.errors import UserError
from latentwave.hub.attached import all_mixers, find_anchor, is_attached
from latentwave.hub.configs import FORMAT_VERSION, check_entry, forget_mixers, remember_mixers
from latentwave.hub.decoder import Decoder, check_form, find_decoder, is_transformers, projection_at
from latentwave.hub.mixed_layers import mix_layer, sites_of, unmix_layer
from latentwave.hub.mixed_models import MixedModel, mix_decoder, mix_models
from latentwave.hub.placement import Mixers, Placed, Placement, as_placed
from latentwave.hub.plain import Layers, module_names, plain_decoder
from latentwave.hub.points import Site, find_sites
from latentwave.hub.swapping import restore_class
from latentwave.mixers import Mixer, MixerConfig, build_mixer
from latentwave.mixers.option_types import fits

Model = TypeVar("Model", bound=nn.Module)


def attach(
    model: Model,
    mixer: Mixers = "best",
    *,
    layers: Layers | None = None,
    modules: Mapping[str, str] | None = None,
    placement: Placement | None = None,
    points: str | Sequence[str] | None = None,
    context_length: int | None = None,
    channels: int | None = None,
    gated: bool | None = None,
    check_finite: bool | None = None,
    **options: Any,
) -> Model:
    """Insert mixers between or inside the decoder layers of a model, in place.

    The backbone's weights keep their names; parameters of mixers are added as
    `….latentwave_mixer.*` after a layer, and as `….latentwave_mixer_mlp.*`,
    `….latentwave_mixer_qkv_q_proj.*` and so on inside one. The cache of `generate` carries the
    mixers' state, and the model configuration records the mixers. For plain PyTorch decoders, pass
    `layers`; `documents` and `streaming` tell their mixers about packed documents, padding and
    cached decoding.

    Reference: "attention", "qkv", "mlp" and "mlp_hidden" are the points A to D of the canon layers
    (Allen-Zhu, 2025), for other mixers too.

    Args:
        model: a transformers decoder such as `GPT2LMHeadModel`, or any module whose decoder
            layers map (B, T, D) to (B, T, D).
        mixer: a kind (see `list_mixers`), a `MixerConfig`, or "best": the mixer, options and points
            that reached a given loss soonest in the docs' measurements on text, "best-audio" on
            sound and music. A later version may choose others; a saved model keeps those it was
            trained with. Or a list of pairs
            [("kv_shift", "qkv"), (MixerConfig(…), ["attention", "mlp"])] of a mixer and its
            points, None for the default; no point may be in two of them.
        layers: only for models outside transformers: the dotted name of the list of layers, such
            as "transformer.h", the list itself, the layers, or their names.
        modules: the paths of "attention" and "mlp" inside a layer, such as {"mlp": "mlp"};
            default: found by name.
        placement: which layers: "between" (every layer but the last), "all", or a list of
            indices. Default: "between" for "block", "all" for other points.
        points: where in each layer, one or several; default: `default_points(kind)`, "block" for
            most kinds. "block": after the layer. "attention": the normalised input of attention.
            "qkv": queries, keys and values, one mixer per projection, before heads are split.
            "attention_output": what the attention module returns, before it is added to the
            residual stream. "mlp": the normalised input of the MLP. "mlp_hidden": the outputs of
            its hidden projections, before the activation. "mlp_output": what the MLP returns,
            before it is added.
        context_length: number of tokens the mixers are built for; default: from the model
            configuration (`max_position_embeddings`, `block_size`).
        channels: only with `layers`: D, the width between layers; default: that of a norm.
        gated: start as the identity and fade the mixers in, see `Mixer.add_fade_gate`; default:
            False, or what a preset says.
        check_finite: refuse NaN and infinities in the input of the mixers, for debugging; default:
            likewise.
        **options: further options of the mixer. With a `MixerConfig`, or a list of pairs, all
            options go into the configs, these two included.

    Returns:
        The same model.

    Raises:
        UserError: if mixers are already attached, the decoder layers or a point in them cannot
            be found, a layer appears twice in the model, `layers` or `channels` are given for a
            transformers model, or a name is unknown.
        ValueError: for an invalid option value.

    Causality: a causal mixer leaves the model causal; `assert_causal` proves it.

    Example:
        >>> from latentwave.hub import all_mixers, attached_mixers
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=3, n_head=2)
        >>> model = attach(GPT2LMHeadModel(config), "wavelet", fraction=0.5)
        >>> len(attached_mixers(model))
        2
        >>> model = attach(GPT2LMHeadModel(config), "short_conv", points=["qkv", "mlp"])
        >>> [each.name for each in all_mixers(model) if each.layer_index == 0]
        ['latentwave_mixer_qkv_c_attn', 'latentwave_mixer_mlp']
        >>> pairs = [("kv_shift", "qkv"), ("short_conv", ["attention", "mlp"])]
        >>> model = attach(GPT2LMHeadModel(config), pairs)
        >>> [each.mixer.kind for each in all_mixers(model) if each.layer_index == 0]
        ['kv_shift', 'short_conv', 'short_conv']
    """
    if not isinstance(model, nn.Module):
        raise UserError(
            f"attach needs a model, an nn.Module, got {model!r}: load it first, as in "
            "AutoModelForCausalLM.from_pretrained(…)"
        )
    for name, value in (("gated", gated), ("check_finite", check_finite)):
        if value is not None:  # a config or a list of pairs takes no options
            options[name] = value
    placed = as_placed(mixer, options, placement, points)
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UserError(
            f"this {type(model).__name__} is on the meta device: its weights are not loaded yet, "
            "and mixers attached now would lose their initial values. Load the weights first, or "
            "use latentwave.from_pretrained for a checkpoint with mixers"
        )
    if is_attached(model):
        kinds = sorted({each.mixer.kind for each in all_mixers(model)})
        raise UserError(
            f"mixers are already attached ({', '.join(kinds)}): call detach(model) first, or pass "
            "all of them in one call, as a list"
        )
    for name, given in (("layers", layers), ("channels", channels)):
        if given is not None and is_transformers(model):
            raise UserError(
                f"{type(model).__name__} is a transformers model, whose layers and width are in "
                f"its configuration: drop {name}={given!r}; to choose layers, pass placement"
            )
    decoder = find_decoder(model) if layers is None else plain_decoder(model, layers, channels)
    if decoder.config is not None:
        check_form(decoder, between=any("block" in one.points for one in placed))
    _insert(model, decoder, placed, context_length, {} if modules is None else modules)
    if hasattr(model, "peft_config"):
        warnings.warn(
            "PEFT's save_pretrained leaves out mixers that were attached after it: save them with "
            "latentwave.save_mixers too, or attach first and name them in modules_to_save",
            stacklevel=2,
        )
    for module in (module for each in all_mixers(model) for module in each.mixer.modules()):
        module._is_hf_initialized = True  # type: ignore[assignment] # not to be initialised again
    return model


def _insert(
    model: nn.Module,
    decoder: Decoder,
    placed: Sequence[Placed],
    context_length: int | None,
    modules: Mapping[str, str],
) -> None:
    """Insert the mixers, and remember them in the model's configuration."""
    if (
        not fits(modules, Mapping[str, str])
        or not modules.keys() <= {"attention", "mlp"}
        or not all(modules.values())
    ):
        raise UserError(
            f'modules must name "attention" or "mlp", as in {{"mlp": "ffn"}}, got {modules!r}'
        )
    context_length = decoder.context_length if context_length is None else context_length
    if context_length is None:
        raise UserError(
            f"{type(model).__name__} has no configuration that gives its context length, such as "
            "max_position_embeddings: pass context_length, the tokens it is trained on, as in "
            "attach(model, context_length=2048)"
        )

    # Build all of them first, so that an error leaves the model unchanged.
    mixers = [
        (site, build_mixer(config, channels=site.channels, context_length=context_length))
        for site, config in _all_sites(decoder, placed, modules)
    ]
    sites: dict[int, list[Site]] = {}
    for site, built in mixers:
        layer = decoder.layers[site.layer_index]
        built.train(layer.training)
        built.add_marker()
        holder = layer.get_submodule(site.holder)
        holder.add_module(site.name, _moved_to(built, layer.get_submodule(site.path), layer))
        _shard_like(built, layer)
        sites.setdefault(site.layer_index, []).append(site)
    for index, of_layer in sites.items():
        mix_layer(decoder.layers[index], of_layer)
    anchor: Any = decoder.module
    # A tuple registers no submodules, so no name changes.
    anchor._mixed_layers = tuple(decoder.layers)
    anchor._mixed_list = decoder.name
    entry: dict[str, Any] = {"modules": dict(modules)} if modules else {}
    if decoder.config is None:
        names = module_names(model)
        one_by_one = [names[id(layer)] for layer in decoder.layers]
        layers = one_by_one if decoder.name is None else decoder.name
        entry = {"layers": layers, "modules": dict(modules), "channels": decoder.channels}
    else:
        mix_decoder(decoder.module, decoder.config)
        mix_models(model)
    entry |= {
        "format_version": FORMAT_VERSION,
        "context_length": context_length,
        "mixers": [one.entry() for one in placed],
    }
    remember_mixers(model, entry)


def _all_sites(
    decoder: Decoder, placed: Sequence[Placed], modules: Mapping[str, str]
) -> Iterator[tuple[Site, MixerConfig]]:
    """Every site that gets a mixer, with the mixer's options there."""
    found = [
        (site, one.config)
        for one in placed
        for point in one.points
        for index in one.layers(point, len(decoder.layers))
        for site in find_sites(decoder.layers[index], index, point, decoder.channels, modules)
    ]
    owners: dict[nn.Module, dict[int, None]] = {}  # the indices of a module's layers, in order
    for index, layer in enumerate(decoder.layers):
        for module in layer.modules():
            owners.setdefault(module, {})[index] = None
    for site, config in found:
        layer = decoder.layers[site.layer_index]
        if hasattr(layer.get_submodule(site.holder), site.name):
            raise UserError(
                f"{type(layer).__name__} {site.layer_index} already has an attribute {site.name!r}"
            )
        sharing = owners[layer.get_submodule(site.path)]
        if len(sharing) > 1:
            raise UserError(
                f"the decoder layers {', '.join(map(str, sharing))} share one "
                f"{site.path or 'layer'}, so a mixer would see their tokens as one sequence: give "
                "each layer its own module"
            )
        at: MixerConfig | None = config
        if site.point == "qkv":  # some mixers go to keys or values only
            at = config.at_projection(projection_at(decoder, site))
        if at is not None:
            yield site, at


def _moved_to(mixer: Mixer, module: nn.Module, layer: nn.Module) -> Mixer:
    """The mixer, on the device and in the dtype of the floating-point weights of its module.

    If the module is quantised, the weights of the whole layer decide.
    """
    weights = itertools.chain(module.parameters(), layer.parameters())
    weight = next((p for p in weights if p.is_floating_point()), None)
    if weight is None:
        return mixer
    # While a model is built on the meta device, some layers make weights on another one.
    on_meta = any(t.is_meta for t in itertools.chain(mixer.parameters(), mixer.buffers()))
    return mixer.to(device=None if on_meta else weight.device, dtype=weight.dtype)


def _shard_like(mixer: Mixer, layer: nn.Module) -> None:
    """Shard a mixer like its layer if FSDP2 has already sharded that."""
    if mixer.num_parameters and any(c.__name__ == "FSDPModule" for c in type(layer).__mro__):
        from torch.distributed.fsdp import fully_shard  # slow to import, rarely needed
        from torch.distributed.tensor import DTensor

        sharded = (p for p in layer.parameters() if isinstance(p, DTensor))
        mesh = next((p.device_mesh for p in sharded), None)
        if mesh is not None:
            fully_shard(mixer, mesh=mesh)


def attach_from_config(model: nn.Module, saved: Any, where: str) -> None:
    """Attach the mixers recorded in a configuration (its entry "latentwave").

    Errors begin with `where`, the file that the entry comes from.
    """
    try:
        plain = not is_transformers(model)
        check_entry(saved, plain=plain)
        if plain:
            decoder = plain_decoder(model, saved["layers"], saved["channels"])
        else:
            decoder = find_decoder(model)
        placed = [Placed.from_entry(each) for each in saved["mixers"]]
        _insert(model, decoder, placed, saved["context_length"], saved.get("modules", {}))
    except RecursionError as error:
        raise UserError(f"{where}: its mixers are nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def detach(model: Model) -> Model:
    """Remove the mixers in place; the backbone's weights stay as they are.

    Returns:
        The same model.

    Raises:
        UserError: if no mixers are attached.
    """
    anchor = find_anchor(model)
    if anchor is None:
        raise UserError(f"no mixers are attached to this {type(model).__name__}")
    for layer in anchor._mixed_layers:
        sites = sites_of(layer)
        if sites:
            unmix_layer(layer)
        for site in sites:
            delattr(layer.get_submodule(site.holder), site.name)
    forget_mixers(model)
    for module in model.modules():
        if module is anchor or isinstance(module, MixedModel):
            restore_class(module)
    return model
