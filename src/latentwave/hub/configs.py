"""Configurations that models share."""

from __future__ import annotations

import copy

from transformers import PretrainedConfig, PreTrainedModel


def give_own_config(model: PreTrainedModel) -> None:
    """Replace a model's configuration by a copy of its own, in all of its modules.

    Models that are built from one configuration object share it. What one of them is given, such
    as mixers, must not be remembered by the others.
    """
    own = copy.deepcopy(model.config)
    replaced = {id(model.config): own}
    for name, part in vars(model.config).items():  # a language model's inside a larger one
        if isinstance(part, PretrainedConfig):
            replaced[id(part)] = getattr(own, name)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, PretrainedConfig) and id(value) in replaced:
                setattr(module, name, replaced[id(value)])
