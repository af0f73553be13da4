"""Find the mixers attached to a model."""

import dataclasses
from typing import Any

from torch import nn

from latentwave.hub.mixed_layers import sites_of
from latentwave.hub.points import MIXER_NAME
from latentwave.mixers import Mixer
from latentwave.mixers.registry import Point


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttachedMixer:
    """A mixer and its position in the model.

    Attributes:
        layer_index: index of its decoder layer.
        point: see `attach`.
        name: its name in the layer, and in the checkpoint keys of its weights.
        mixer: the module.
    """

    layer_index: int
    point: Point
    name: str
    mixer: Mixer


def find_anchor(model: nn.Module) -> Any:
    """The module of the model that records the attached layers; None if there is none."""
    # Not `hasattr`, which also sees through wrappers such as that of `torch.compile`.
    return next((m for m in model.modules() if "_mixed_layers" in vars(m)), None)


def is_attached(model: nn.Module) -> bool:
    """Whether mixers are attached to the model or to a model inside it."""
    return find_anchor(model) is not None


def all_mixers(model: nn.Module) -> list[AttachedMixer]:
    """All mixers of a model, at any point, layer by layer; empty if there are none."""
    return [
        AttachedMixer(
            layer_index=site.layer_index,
            point=site.point,
            name=site.name,
            mixer=_unwrapped(getattr(layer.get_submodule(site.holder), site.name)),
        )
        for layer in getattr(find_anchor(model), "_mixed_layers", ())
        for site in sites_of(layer)
    ]


def attached_mixers(model: nn.Module) -> dict[int, Mixer]:
    """The mixers after layers, by layer index; `all_mixers` also lists those inside layers."""
    return {each.layer_index: each.mixer for each in all_mixers(model) if each.name == MIXER_NAME}


def _unwrapped(wrapper: Any) -> Mixer:
    """The mixer in use: PEFT keeps a copy for each adapter that trains it, beside the original."""
    copies = getattr(wrapper, "modules_to_save", None)
    if copies is not None:
        active = [] if wrapper.disable_adapters else wrapper.active_adapters
        names = [name for name in active if name in copies]
        wrapper = copies[names[0]] if names else wrapper.original_module
    return next(module for module in wrapper.modules() if isinstance(module, Mixer))
