"""The classes given to modules of a model while mixers are attached."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig

from latentwave.errors import UserError
from latentwave.hub.cache import CACHE_ARGUMENTS, cache_argument, states_in
from latentwave.hub.calls import CURRENT, Call, call_by_user, call_of, use_call, user_call
from latentwave.hub.padding import Padding, find_documents, find_padding
from latentwave.hub.points import Site
from latentwave.hub.swapping import Swapped, restore_class, swap_class

_CALL = "latentwave_call"


class _Watching(Swapped):
    """A module that reattaches mixers when a mixed child module is replaced."""

    _mixed_children: frozenset[str]
    # A tuple does not register the layer as a submodule, so checkpoint names stay the same.
    _mixed_at: tuple[nn.Module, tuple[Site, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, as adapters and quantisation do with modules."""
        super().__setattr__(name, value)
        if name in self._mixed_children:
            _reattach(self._mixed_at[0])


class MixedPart(_Watching):
    """A module inside a decoder layer with a mixed input or output, or a parent of one."""

    _mixed_argument: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Mix the input, run the module, mix the output."""
        layer, sites = self._mixed_at
        for site in sites:
            if site.before and args:
                args = (_mix(layer, site, args[0]), *args[1:])
            elif site.before:
                signal = kwargs.get(self._mixed_argument)
                kwargs[self._mixed_argument] = _mix(layer, site, signal)
        output = super().__call__(*args, **kwargs)
        for site in sites:
            if not site.before:
                output = _mix_output(layer, site, output)
        return output


class MixedLayer(_Watching):
    """A decoder layer with mixers after or inside it, held as its submodules."""

    _mixed_parts: dict[str, nn.Module]  # by path
    # Every module on the way to a part, in its owner under its name.
    _mixed_links: tuple[tuple[nn.Module, str, nn.Module], ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer; the call is an argument, so that gradient checkpointing keeps it."""
        if self._mixed_at[0] is not self:
            raise UserError(
                f"this {type(self).__name__} is a copy of a layer with mixers: copy the whole "
                "model, or copy layers before you attach mixers; on several GPUs, train with "
                "DistributedDataParallel (torchrun) instead of DataParallel"
            )
        patched = self.__dict__.get("forward")
        ours = getattr(patched, "__func__", None) is type(self).forward
        if patched is not None and not ours and "_old_forward" not in self.__dict__:
            raise UserError(
                f"the forward of this {type(self).__name__} was patched, which bypasses its "
                "mixers: patch the class, or modules inside the layer"
            )
        for owner, name, part in self._mixed_links:
            if owner._modules.get(name) is not part:
                _reattach(self)
                break
        call = call_of(self, args, kwargs)
        if call is not None:
            kwargs[_CALL] = call
        return super().__call__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer, then its mixers."""
        call = kwargs.pop(_CALL, None)
        if call is not CURRENT.call:  # the backward pass runs it again
            with use_call(call):
                return self._run(args, kwargs)
        return self._run(args, kwargs)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = super().forward(*args, **kwargs)
        for site in self._mixed_at[1]:
            if not site.path:
                output = _mix_output(self, site, output)
        return output


def mix_layer(module: nn.Module, sites: Sequence[Site]) -> None:
    """Make a layer run its mixers, which are already its submodules."""
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
        if not isinstance(part, nn.ModuleList | nn.ModuleDict):  # these are never called
            swap_class(part, MixedPart if path else MixedLayer)
    layer._mixed_links = _links(layer, layer._mixed_parts)
    if isinstance(module, nn.TransformerEncoderLayer) and layer._mixed_parts:
        # In evaluation, PyTorch computes known activations without calling the parts.
        layer._mixed_activation = layer.activation_relu_or_gelu
        layer.activation_relu_or_gelu = 0


def _links(layer: nn.Module, paths: Iterable[str]) -> tuple[tuple[nn.Module, str, nn.Module], ...]:
    """Every step from a layer to its modules at some paths: owner, name and module."""
    links = {}
    for path in paths:
        owner, names = layer, path.split(".")
        for depth, name in enumerate(names):
            part = owner.get_submodule(name)
            links[".".join(names[: depth + 1])] = owner, name, part
            owner = part
    return tuple(links.values())


def sites_of(layer: nn.Module) -> tuple[Site, ...]:
    """The sites of a layer's mixers; empty if it has none."""
    sites: tuple[Site, ...] = vars(layer).get("_mixed_at", (layer, ()))[1]
    return sites


def unmix_layer(module: nn.Module) -> None:
    """Undo `mix_layer`."""
    layer: Any = module
    parts = tuple(layer._mixed_parts.values())
    if "_mixed_activation" in vars(layer):
        layer.activation_relu_or_gelu = layer._mixed_activation
    for part in (layer, *parts):
        restore_class(part)
        for name in [name for name in vars(part) if name.startswith("_mixed_")]:
            delattr(part, name)


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="a mixed module was replaced: run the model once before compiling"
)
def _reattach(layer: Any) -> None:
    """Move mixers from replaced modules to their replacements.

    Adapters and quantisation replace linear maps by modules that may contain the old one, whose
    output is then only part of the signal.
    """
    sites = layer._mixed_at[1]
    unmix_layer(layer)
    mix_layer(layer, sites)


def _mix(layer: nn.Module, site: Site, signal: Any) -> Tensor:
    """Run the mixer of a site with the state, documents and padding of the current call."""
    if not isinstance(signal, Tensor):
        what = "the first argument" if site.before else "the output, or its first item,"
        raise UserError(
            f"a mixer at {site.point!r} needs a tensor (B, T, D), but {what} of "
            f"{site.path and site.path + ' in '}{type(layer).__name__} {site.layer_index} is a "
            f"{type(signal).__name__}: choose other points"
        )
    mixer = getattr(layer.get_submodule(site.holder) if site.holder else layer, site.name)
    call = CURRENT.call
    if call is None:  # the layer runs on its own
        alone: Tensor = mixer(signal)
        return alone
    state = None
    # As in attention, a layer that will be rerun must not write into the cache.
    rerun = layer.training and getattr(layer, "gradient_checkpointing", False)
    padding, segment_ids, mask = call.padding, call.segment_ids, None
    states = call.streams.get(layer, call.states)
    if states is not None and not rerun:
        state = states.of(f"{site.layer_index}.{site.name}")
        state.num_padded = None if padding is None else padding.num_padded
    # Layers of a model may be on different devices.
    if segment_ids is not None:
        segment_ids = segment_ids.to(signal.device)
    if padding is not None:
        mask, signal = padding.mask.to(signal.device), padding.move(signal)
        segment_ids = None if segment_ids is None else padding.move(segment_ids)
    mixed: Tensor = mixer(signal, state=state, segment_ids=segment_ids, padding_mask=mask)
    return mixed if padding is None else padding.move_back(mixed)


def _mix_output(layer: nn.Module, site: Site, output: Any) -> Any:
    """Mix what a module returns: a tensor, or the first item of a tuple or list."""
    if isinstance(output, tuple | list) and output:
        mixed = [_mix(layer, site, output[0]), *output[1:]]
        if isinstance(output, list):
            return mixed
        return output._make(mixed) if hasattr(output, "_make") else tuple(mixed)
    return _mix(layer, site, output)


class MixedModel(Swapped):
    """A transformers model that contains mixers."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Add `segment_ids` to a forward that accepts extra keyword arguments.

        The Trainer drops data set columns that the signature does not name. The decoder gets the
        documents through the thread's call: many heads do not pass extra arguments on.
        """
        super().__init_subclass__(**options)
        if "_swapped_from" not in vars(cls) or issubclass(cls, MixedDecoder):
            return
        plain: Any = cls._swapped_from.forward
        signature = inspect.signature(plain)
        *named, last = signature.parameters.values()
        if last.kind is not inspect.Parameter.VAR_KEYWORD:
            return

        @functools.wraps(plain)
        def forward(
            self: nn.Module, *args: Any, segment_ids: Tensor | None = None, **kwargs: Any
        ) -> Any:
            if segment_ids is None:
                segment_ids = kwargs.get("seq_idx")
            if segment_ids is None:
                return plain(self, *args, **kwargs)
            with use_call(call_by_user(segment_ids=segment_ids)):
                return plain(self, *args, **kwargs)

        documents = inspect.Parameter("segment_ids", inspect.Parameter.KEYWORD_ONLY, default=None)
        forward.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*named, documents, last]
        )
        cls.forward = forward

    def save_pretrained(self, *args: Any, **options: Any) -> Any:
        """Save under the names in memory.

        The names of some older checkpoints replace parts of any name, such as "mlp" of Mixtral, and
        those of mixers would not be found again.
        """
        options.setdefault("save_original_format", False)
        return super().save_pretrained(*args, **options)  # type: ignore[misc]

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse continuous batching early, in the caller's thread.

        Raises:
            UserError: while mixers are attached.
        """
        if any(isinstance(module, MixedDecoder) for module in self.modules()):
            raise UserError(
                "continuous batching uses its own paged cache, which cannot hold the mixers' "
                "state: use generate() with a padded batch, or detach(model) first"
            )
        return super().init_continuous_batching(*args, **kwargs)  # type: ignore[misc]


def mix_models(model: nn.Module) -> None:
    """Swap the class of every generating model in a model to `MixedModel`."""
    for module in model.modules():
        generates = hasattr(type(module), "init_continuous_batching")
        if generates and not isinstance(module, MixedModel):
            swap_class(module, MixedModel)


class MixedDecoder(MixedModel):
    """A transformers decoder that provides the mixers with the context of each call."""

    _mixed_arguments: tuple[str, ...]
    _mixed_cache: str  # what it calls its cache
    _mixed_config: PretrainedConfig
    _mixed_list: str  # path of its list of layers
    _mixed_entries: list[nn.Module]  # the list at the last check

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the decoder."""
        kwargs |= dict(zip(self._mixed_arguments, args, strict=False))
        entries = list(getattr(self, self._mixed_list))
        if len(entries) != len(self._mixed_entries) or any(
            one is not other for one, other in zip(entries, self._mixed_entries, strict=True)
        ):
            check_layers(self)
            self._mixed_entries = entries
        with use_call(self._call_from(kwargs)):
            return super().__call__(**kwargs)

    def _call_from(self, kwargs: dict[str, Any]) -> Call | None:
        given = (kwargs.get(name) for name in CACHE_ARGUMENTS)
        cache = next((each for each in given if each is not None), None)
        names = ("input_ids", "inputs_embeds", "hidden_states")
        tokens = next((kwargs[name] for name in names if kwargs.get(name) is not None), None)
        if tokens is None:
            return None  # the model raises its own error
        segment_ids = kwargs.pop("segment_ids", None)
        if segment_ids is None:
            segment_ids = kwargs.get("seq_idx")
        outer = user_call()
        if segment_ids is None:
            segment_ids = outer.segment_ids
        # The configuration may have been replaced or changed since attach.
        config = getattr(self, "config", self._mixed_config).get_text_config(decoder=True)
        mask = kwargs.get("attention_mask")
        created = cache is None and self._wants_cache(config, kwargs.get("use_cache"))
        if created:
            cache = kwargs[self._mixed_cache] = DynamicCache(config=config)
        states = None
        if cache is not None:
            if segment_ids is not None:
                raise UserError(
                    "packed documents (segment_ids or seq_idx) cannot be continued from a cache: "
                    "pass use_cache=False"
                )
            if created:  # nobody asked for it
                segment_ids = find_documents(mask, tokens.shape[1], wait=True)
            if segment_ids is None:
                states = states_in(cache, len(self._mixed_entries))
        elif segment_ids is None and mask is None:
            segment_ids = _documents(kwargs.get("position_ids"), tokens)
        elif segment_ids is None:
            segment_ids = find_documents(mask, tokens.shape[1])
        real = find_padding(mask, tokens.shape[1], cache, config)
        padding = outer.padding if real is None else Padding.of(real)
        return Call(states, segment_ids, padding)

    def _wants_cache(self, config: PretrainedConfig, use_cache: bool | None) -> bool:
        if use_cache is None:
            use_cache = getattr(config, "use_cache", False)
        return bool(use_cache) and not self.training


def mix_decoder(module: nn.Module, config: PretrainedConfig) -> None:
    """Make a transformers decoder provide its mixers with the context of each call."""
    decoder: Any = module
    decoder._mixed_arguments = tuple(inspect.signature(decoder.forward).parameters)
    decoder._mixed_cache = cache_argument(decoder)
    decoder._mixed_config = config
    decoder._mixed_entries = list(getattr(decoder, decoder._mixed_list))
    swap_class(decoder, MixedDecoder)


def unmix_decoder(module: nn.Module) -> None:
    """Undo `mix_decoder`."""
    restore_class(module)
    for name in ("_mixed_arguments", "_mixed_cache", "_mixed_config", "_mixed_entries"):
        delattr(module, name)


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="the list of layers changed: run the model once before compiling"
)
def check_layers(anchor: Any) -> None:
    """Raise UserError if layers with mixers were copied or repeated.

    Args:
        anchor: the module that records the layers and the path of their list.
    """
    layers = list(anchor.get_submodule(anchor._mixed_list)._modules.values())
    mixed = [each for layer in layers for each in layer.modules() if "_mixed_parts" in vars(each)]
    own = {id(layer) for layer in anchor._mixed_layers}
    if len(mixed) > len({id(each) for each in mixed} & own):
        raise UserError(
            f"the {len(own)} decoder layers were copied or repeated after mixers were attached "
            f"(there are {len(layers)} now), so layers would share a mixer: replicate the layers "
            "first, then attach"
        )


def _documents(position_ids: Tensor | None, tokens: Tensor) -> Tensor | None:
    """Packed documents from position ids: each starts where they do not increase by one.

    Attention uses the same rule when there is neither a mask nor a cache.
    """
    if position_ids is None or position_ids.dim() != 2 or position_ids.shape[1] != tokens.shape[1]:
        return None
    begins = position_ids.diff(dim=1) != 1
    return F.pad(begins.cumsum(dim=1), (1, 0)).expand(tokens.shape[0], -1)
