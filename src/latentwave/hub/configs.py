"""The mixer entry in a model's configuration."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from latentwave.hub.attached import is_attached

CONFIG_NAME = "latentwave"
_ENTRY = "_latentwave_entry"


def saved_mixers(model: nn.Module) -> Any:
    """The mixer entry in the configuration of a model's decoder; None if there is none.

    A plain PyTorch model holds it as an attribute.
    """
    owner = _owner(model)
    if owner is None:
        return vars(model).get(_ENTRY)
    return getattr(_decoder_config(owner), CONFIG_NAME, None)


def remember_mixers(model: nn.Module, entry: dict[str, Any]) -> None:
    """Write the entry into the decoder's configuration, which may be nested in a larger one.

    Models built from one configuration object share it. A model with a head gets its own copy, so
    that other models are not saved with its mixers. A model without a head (`model.base_model`)
    may be part of another, which must be saved with the mixers and whose settings it follows: it
    keeps the shared object, unless that already holds another model's mixers.
    """
    owner = _owner(model)
    if owner is None:
        vars(model)[_ENTRY] = entry
        return
    before = saved_mixers(model)
    if before == entry:  # the model was built from a configuration with mixers
        return
    if _has_head(owner) or before is not None:
        _give_own_config(model, owner)
    setattr(_decoder_config(owner), CONFIG_NAME, entry)


def forget_mixers(model: nn.Module) -> None:
    """Remove the entry, but not from a configuration shared with another model."""
    owner = _owner(model)
    if owner is None:
        vars(model).pop(_ENTRY, None)
        return
    if _has_head(owner):
        _give_own_config(model, owner)
    vars(_decoder_config(owner)).pop(CONFIG_NAME, None)


def _owner(model: nn.Module) -> PreTrainedModel | None:
    """The outermost transformers model around the mixers; None in plain PyTorch models.

    `torch.compile` and PEFT wrap it.
    """
    found = (module for module in model.modules() if isinstance(module, PreTrainedModel))
    return next((module for module in found if module is model or is_attached(module)), None)


def _has_head(model: PreTrainedModel) -> bool:
    return model.base_model is not model


def _decoder_config(model: PreTrainedModel) -> PretrainedConfig:
    config: PretrainedConfig = model.config.get_text_config(decoder=True)
    return config


def _give_own_config(model: nn.Module, owner: PreTrainedModel) -> None:
    """Replace the owner's configuration with a copy of its own, in all modules of the model."""
    own = copy.deepcopy(owner.config)
    replaced = {id(owner.config): own}
    for name, part in vars(owner.config).items():  # such as text_config
        if isinstance(part, PretrainedConfig):
            replaced[id(part)] = getattr(own, name)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, PretrainedConfig) and id(value) in replaced:
                setattr(module, name, replaced[id(value)])
