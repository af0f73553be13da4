"""The classes that modules of a model get while mixers are attached."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig

from latentwave.errors import UserError
from latentwave.hub.cache import states_in
from latentwave.hub.calls import CURRENT, Call, call_of, opened
from latentwave.hub.padding import Padding, find_documents, find_padding
from latentwave.hub.points import Site
from latentwave.hub.swapping import Swapped, restore_class, swap_class

_CALL = "latentwave_call"
_NO_BATCHES = (
    "continuous batching keeps the requests of a batch apart in its own paged cache, which has no "
    "room for the mixers' state: use generate() with a padded batch, or detach(model) first"
)


class _Watching(Swapped):
    """A module that notices when one is replaced whose input or output is mixed."""

    _mixed_children: frozenset[str]
    # Held in a tuple, the layer is no submodule, so that no name in a checkpoint changes.
    _mixed_at: tuple[nn.Module, tuple[Site, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, as adapters and quantisation do with modules."""
        super().__setattr__(name, value)
        if name in self._mixed_children:
            _follow(self._mixed_at[0])


class MixedPart(_Watching):
    """A module inside a decoder layer whose input or output is mixed, or one that holds such."""

    _mixed_argument: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Mix the input, run the module, mix the output."""
        layer, sites = self._mixed_at
        for site in sites:
            if site.before and args:
                args = (_mix(layer, site, args[0]), *args[1:])
            elif site.before:
                kwargs[self._mixed_argument] = _mix(layer, site, kwargs[self._mixed_argument])
        output = super().__call__(*args, **kwargs)
        for site in sites:
            if not site.before:
                output = _mix_output(layer, site, output)
        return output


class MixedLayer(_Watching):
    """A decoder layer with mixers behind or inside it, which are its submodules."""

    _mixed_parts: dict[str, nn.Module]  # by their paths

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer; gradient checkpointing keeps the facts of the call with its arguments."""
        if self._mixed_at[0] is not self:
            raise UserError(
                f"this {type(self).__name__} is a copy of a layer with mixers: copy whole models, "
                "or attach after the layers are copied"
            )
        patched = self.__dict__.get("forward")
        ours = getattr(patched, "__func__", None) is type(self).forward
        if patched is not None and not ours and "_old_forward" not in self.__dict__:
            raise UserError(
                f"something has put another forward on this {type(self).__name__}, which leaves "
                "out its mixers: let it patch the class, or modules inside the layer"
            )
        for path, part in self._mixed_parts.items():
            if self.get_submodule(path) is not part:
                _follow(self)
        call = call_of(self, args, kwargs)
        if call is not None:
            kwargs[_CALL] = call
        return super().__call__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer and the mixer behind it."""
        call = kwargs.pop(_CALL, None)
        if call is not CURRENT.call:  # the backward pass runs it again
            with opened(call):
                return self._run(args, kwargs)
        return self._run(args, kwargs)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = super().forward(*args, **kwargs)
        for site in self._mixed_at[1]:
            if not site.path:
                output = _mix_output(self, site, output)
        return output


def mix_layer(module: nn.Module, sites: Sequence[Site]) -> None:
    """Run the mixers of a layer from now on; they are submodules of it already."""
    layer: Any = module
    layer._mixed_at, layer._mixed_parts = (layer, tuple(sites)), {}
    children: dict[str, set[str]] = {"": set()}
    for site in sites:
        if site.path:
            owner, _, child = site.path.rpartition(".")
            children.setdefault(owner, set()).add(child)
    for path in {**children, **{site.path: None for site in sites}}:
        part: Any = layer.get_submodule(path)
        part._mixed_children = frozenset(children.get(path, ()))
        if path:
            layer._mixed_parts[path] = part
            part._mixed_at = layer, tuple(site for site in sites if site.path == path)
            part._mixed_argument = next(iter(inspect.signature(part.forward).parameters))
        if not isinstance(part, nn.ModuleList | nn.ModuleDict):  # which are never called
            swap_class(part, MixedPart if path else MixedLayer)


def sites_of(layer: nn.Module) -> tuple[Site, ...]:
    """Where mixers stand in a layer; nowhere if it has none."""
    sites: tuple[Site, ...] = vars(layer).get("_mixed_at", (layer, ()))[1]
    return sites


def unmix_layer(module: nn.Module) -> None:
    """Undo `mix_layer`."""
    layer: Any = module
    parts = tuple(layer._mixed_parts.values())
    for part in (layer, *parts):
        restore_class(part)
        for name in [name for name in vars(part) if name.startswith("_mixed_")]:
            delattr(part, name)


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="a module that is mixed was replaced: run the model once before"
)
def _follow(layer: Any) -> None:
    """Move to the modules that stand in the places of those that were mixed.

    Adapters and quantisation replace linear maps by others, which may hold the old one: its
    output is then a part of the signal only.
    """
    sites = layer._mixed_at[1]
    unmix_layer(layer)
    mix_layer(layer, sites)


def _mix(layer: nn.Module, site: Site, signal: Tensor) -> Tensor:
    """Run the mixer of a site with what the current call says."""
    mixer = getattr(layer.get_submodule(site.holder) if site.holder else layer, site.name)
    call = CURRENT.call
    if call is None:  # the layer is called by itself
        alone: Tensor = mixer(signal)
        return alone
    state = None
    # As for attention, a layer that will be run again cannot write into a cache.
    rerun = layer.training and getattr(layer, "gradient_checkpointing", False)
    padding, segment_ids, mask = call.padding, call.segment_ids, None
    if call.states is not None and not rerun:
        state = call.states.of(f"{site.layer_index}.{site.name}")
        state.num_padded = None if padding is None else padding.num_padded
    # Layers of one model may be on several devices.
    if segment_ids is not None:
        segment_ids = segment_ids.to(signal.device)
    if padding is not None:
        mask, signal = padding.mask.to(signal.device), padding.move(signal)
        segment_ids = None if segment_ids is None else padding.move(segment_ids)
    mixed: Tensor = mixer(signal, state=state, segment_ids=segment_ids, padding_mask=mask)
    return mixed if padding is None else padding.move_back(mixed)


def _mix_output(layer: nn.Module, site: Site, output: Any) -> Any:
    if isinstance(output, Tensor):
        return _mix(layer, site, output)
    return (_mix(layer, site, output[0]), *output[1:])


class MixedModel(Swapped):
    """A transformers model with mixers anywhere inside."""

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse what `generate_batch` begins with, in the caller's thread.

        Raises:
            UserError: always, as long as there are mixers.
        """
        if any(isinstance(module, MixedDecoder) for module in self.modules()):
            raise UserError(_NO_BATCHES)
        return super().init_continuous_batching(*args, **kwargs)  # type: ignore[misc]


def mix_models(model: nn.Module) -> None:
    """Let the generating models among a model and its modules know that there are mixers."""
    for module in model.modules():
        generates = hasattr(type(module), "init_continuous_batching")
        if generates and not isinstance(module, MixedModel):
            swap_class(module, MixedModel)
            _name_documents(module)


def _name_documents(model: nn.Module) -> None:
    """Put `segment_ids` into the signature of a mixed model's forward, if it hands them on.

    The Trainer drops what that does not name from the items of a data set.
    """
    cls: Any = type(model)
    plain = cls._swapped_from.forward
    signature = inspect.signature(plain)
    *named, last = signature.parameters.values()
    if "forward" in vars(cls) or last.kind is not inspect.Parameter.VAR_KEYWORD:
        return

    @functools.wraps(plain)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return plain(self, *args, **kwargs)

    documents = inspect.Parameter("segment_ids", inspect.Parameter.KEYWORD_ONLY, default=None)
    forward.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*named, documents, last]
    )
    cls.forward = forward


class MixedDecoder(MixedModel):
    """A transformers decoder, which finds out what the mixers need to know of a call."""

    _mixed_arguments: tuple[str, ...]
    _mixed_config: PretrainedConfig
    _mixed_list: str  # the name of the list of its layers
    _mixed_entries: list[nn.Module]  # what stood there when it was last looked at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the decoder."""
        kwargs |= dict(zip(self._mixed_arguments, args, strict=False))
        entries = list(getattr(self, self._mixed_list))
        if len(entries) != len(self._mixed_entries) or any(
            one is not other for one, other in zip(entries, self._mixed_entries, strict=True)
        ):
            check_layers(self)
            self._mixed_entries = entries
        with opened(self._facts(kwargs)):
            return super().__call__(**kwargs)

    def _facts(self, kwargs: dict[str, Any]) -> Call | None:
        if kwargs.get("cache") is not None:
            raise UserError(_NO_BATCHES)
        names = ("input_ids", "inputs_embeds", "hidden_states")
        tokens = next((kwargs[name] for name in names if kwargs.get(name) is not None), None)
        if tokens is None:
            return None  # the model says so itself
        segment_ids = kwargs.pop("segment_ids", None)
        if segment_ids is None:
            segment_ids = kwargs.get("seq_idx")
        given = CURRENT.call if CURRENT.call is not None and CURRENT.call.given else Call()
        if segment_ids is None:
            segment_ids = given.segment_ids
        # Models are given other configurations, and these change.
        config = getattr(self, "config", self._mixed_config).get_text_config(decoder=True)
        cache = kwargs.get("past_key_values")
        if cache is None and self._wants_cache(config, kwargs.get("use_cache")):
            cache = kwargs["past_key_values"] = DynamicCache(config=config)
        states = None
        if cache is not None:
            if segment_ids is not None:
                raise UserError(
                    "packed documents (segment_ids or seq_idx) cannot be continued from a cache: "
                    "pass use_cache=False"
                )
            states = states_in(cache, len(self._mixed_entries))
        elif segment_ids is None and kwargs.get("attention_mask") is None:
            segment_ids = _documents(kwargs.get("position_ids"), tokens)
        elif segment_ids is None:
            segment_ids = find_documents(kwargs["attention_mask"], tokens.shape[1])
        mask = find_padding(kwargs.get("attention_mask"), tokens.shape[1], cache, config)
        padding = given.padding if mask is None else Padding.of(mask)
        return Call(states, segment_ids, padding)

    def _wants_cache(self, config: PretrainedConfig, use_cache: bool | None) -> bool:
        if use_cache is None:
            use_cache = getattr(config, "use_cache", False)
        return bool(use_cache) and not self.training


def mix_decoder(module: nn.Module, config: PretrainedConfig) -> None:
    """Tell the mixers in a transformers decoder what they need to know, from now on."""
    decoder: Any = module
    decoder._mixed_arguments = tuple(inspect.signature(decoder.forward).parameters)
    decoder._mixed_config = config
    decoder._mixed_entries = list(getattr(decoder, decoder._mixed_list))
    swap_class(decoder, MixedDecoder)


def unmix_decoder(module: nn.Module) -> None:
    """Undo `mix_decoder`."""
    restore_class(module)
    for name in ("_mixed_arguments", "_mixed_config", "_mixed_entries"):
        delattr(module, name)


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="the list of layers changed: run the model once before"
)
def check_layers(anchor: Any) -> None:
    """Refuse copies of layers with mixers, and one that stands in their list twice.

    Args:
        anchor: the module at which the layers and the name of their list are noted.
    """
    layers = list(anchor.get_submodule(anchor._mixed_list)._modules.values())
    mixed = [each for layer in layers for each in layer.modules() if "_mixed_parts" in vars(each)]
    own = {id(layer) for layer in anchor._mixed_layers}
    if len(mixed) > len({id(each) for each in mixed} & own):
        raise UserError(
            f"the {len(own)} decoder layers were copied or repeated after mixers were attached "
            f"(there are {len(layers)} now), and one mixer would be taken for two: replicate the "
            "layers first, then attach"
        )


def _documents(position_ids: Tensor | None, tokens: Tensor) -> Tensor | None:
    """Packed documents that positions alone tell: each begins where they do not go on by one.

    As in attention, which separates them by the same rule if there is neither a mask nor a cache.
    """
    if position_ids is None or position_ids.dim() != 2 or position_ids.shape[1] != tokens.shape[1]:
        return None
    begins = position_ids.diff(dim=1) != 1
    return F.pad(begins.cumsum(dim=1), (1, 0)).expand(tokens.shape[0], -1)
