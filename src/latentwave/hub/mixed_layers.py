"""The classes of decoder layers and their parts while mixers are attached."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.hub.calls import CURRENT, call_of, use_call
from latentwave.hub.points import Site
from latentwave.hub.swapping import Swapped, restore_class, swap_class

_CALL = "latentwave_call"


class _Watching(Swapped):
    """A module that moves mixers to the replacement when a mixed child is replaced."""

    _mixed_children: frozenset[str]
    # A tuple does not register the layer as a submodule, so checkpoint names stay the same.
    _mixed_at: tuple[nn.Module, tuple[Site, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; adapters and quantisation replace modules this way."""
        super().__setattr__(name, value)
        if name in self._mixed_children:
            _reattach(self._mixed_at[0])


class MixedPart(_Watching):
    """A module inside a decoder layer with a mixed input or output, or a parent of one."""

    _mixed_argument: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Mix the input, run the module, mix the output."""
        if not isinstance(self, MixedPart):  # detached since `torch.compile` stored this method
            return type(self).__call__(self, *args, **kwargs)
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
    # Every module on the way to a part: its owner, its name there, and the module.
    _mixed_links: tuple[tuple[nn.Module, str, nn.Module], ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer with the call as an argument, which gradient checkpointing keeps."""
        if not isinstance(self, MixedLayer):  # detached since `torch.compile` stored this method
            return type(self).__call__(self, *args, **kwargs)
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
        # The plain `__call__`, stored by `torch.compile(layer)` before attach, passes none.
        call = kwargs.pop(_CALL) if _CALL in kwargs else call_of(self, args, kwargs)
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
        owner = layer
        for name in path.split("."):
            part = owner.get_submodule(name)
            links[owner, name] = part
            owner = part
    return tuple((owner, name, part) for (owner, name), part in links.items())


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


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="a mixed module was replaced: run the model once before compiling"
)
def _reattach(layer: Any) -> None:
    """Move mixers from replaced modules to their replacements.

    A replacement may contain the old module, whose output is then only part of the signal, as in
    adapters.
    """
    sites = layer._mixed_at[1]
    unmix_layer(layer)
    mix_layer(layer, sites)


@torch.compiler.disable(  # type: ignore[untyped-decorator, no-untyped-call]
    reason="the list of layers changed: run the model once before compiling"
)
def check_layers(anchor: Any) -> None:
    """Raise UserError if layers with mixers were copied or repeated, by `find_anchor(model)`."""
    layers = list(anchor.get_submodule(anchor._mixed_list)._modules.values())
    mixed = [each for layer in layers for each in layer.modules() if "_mixed_parts" in vars(each)]
    own_ids = {id(layer) for layer in anchor._mixed_layers}
    if len(mixed) > len({id(each) for each in mixed} & own_ids):
        raise UserError(
            f"the {len(own_ids)} decoder layers were copied or repeated after mixers were attached "
            f"(there are {len(layers)} now), so layers would share a mixer: replicate the layers "
            "first, then attach"
        )


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
    state, padding, mask = None, call.padding, None
    states = call.streams.get(layer, call.states)
    # As in attention, a layer that will be rerun must not write into the cache.
    rerun = layer.training and getattr(layer, "gradient_checkpointing", False)
    if states is not None and not rerun:
        state = states.of(f"{site.layer_index}.{site.name}")
        state.num_padded = None if padding is None else padding.num_padded
    # Layers of a model may be on different devices.
    segment_ids = None if call.segment_ids is None else call.segment_ids.to(signal.device)
    if padding is not None:
        if padding.mask.shape != signal.shape[:2]:
            raise UserError(
                f"the padding mask must have shape {tuple(signal.shape[:2])}, one entry per "
                f"token, got {tuple(padding.mask.shape)}"
            )
        mask, signal = padding.mask.to(signal.device), padding.move(signal)
        segment_ids = None if segment_ids is None else padding.move(segment_ids)
    mixed: Tensor = mixer(signal, state=state, segment_ids=segment_ids, padding_mask=mask)
    if padding is None or mask is None:
        return mixed
    # Padding keeps its values: layers with a recurrence or a convolution read them.
    return padding.move_back(torch.where(mask.unsqueeze(-1), mixed, signal))


def _mix_output(layer: nn.Module, site: Site, output: Any) -> Any:
    """Mix what a module returns: a tensor, or the first item of a tuple or list."""
    if isinstance(output, tuple | list) and output:
        mixed = [_mix(layer, site, output[0]), *output[1:]]
        if isinstance(output, list):
            return mixed
        return output._make(mixed) if hasattr(output, "_make") else tuple(mixed)
    return _mix(layer, site, output)
