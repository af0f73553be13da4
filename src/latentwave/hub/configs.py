"""Read, write and check the mixer entry in a model's configuration."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.attached import find_anchor, is_attached
from latentwave.hub.placement import check_fields

CONFIG_NAME = "latentwave"
FORMAT_VERSION = 1
_ENTRY = f"the entry {CONFIG_NAME!r}"
_FORM: dict[str, Any] = {  # required keys and their types
    "format_version": int,
    "context_length": int,
    "mixers": Sequence[Any],
}
_PLAIN_FORM: dict[str, Any] = {  # additional keys for plain PyTorch models
    "layers": str | Sequence[str],
    "modules": Mapping[str, str],
    "channels": int,
}


def saved_mixers(model: nn.Module) -> Any:
    """The mixer entry of a model: in the configuration of its decoder, or beside plain layers."""
    owner = _owner(model)
    if owner is None:
        return getattr(find_anchor(model), "_mixed_entry", None)
    return getattr(_decoder_config(owner), CONFIG_NAME, None)


def remember_mixers(model: nn.Module, entry: dict[str, Any]) -> None:
    """Write the entry into the decoder's configuration, which may be nested in a larger one.

    Models built from one configuration object share it. A model with a head gets its own copy, so
    that the others are not saved with its mixers. A model without a head may be part of one that
    must be saved with the mixers and whose settings it follows, so it keeps the shared object,
    unless that already holds another model's mixers.
    """
    owner = _owner(model)
    if owner is None:
        find_anchor(model)._mixed_entry = entry
        return
    before = saved_mixers(model)
    if before == entry:  # the model was built from a configuration with mixers
        return
    if owner.base_model is not owner or before is not None:
        _give_own_config(model, owner)
    setattr(_decoder_config(owner), CONFIG_NAME, entry)


def forget_mixers(model: nn.Module) -> None:
    """Remove the entry, but not from a configuration shared with another model."""
    owner = _owner(model)
    if owner is None:
        return
    if owner.base_model is not owner:  # it has a head, see `remember_mixers`
        _give_own_config(model, owner)
    vars(_decoder_config(owner)).pop(CONFIG_NAME, None)


def check_entry(saved: Any, *, plain: bool) -> None:
    """Refuse an entry that `attach` did not write for such a model."""
    version = saved.get("format_version") if isinstance(saved, Mapping) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"the mixers were saved by a newer latentwave (format {version}, this version reads "
            f"up to {FORMAT_VERSION}): upgrade with `pip install -U latentwave`"
        )
    check_fields(saved, _FORM | _PLAIN_FORM if plain else _FORM, _ENTRY)
    if not saved["mixers"]:
        raise UserError(f"mixers of {_ENTRY} must name at least one mixer, got []")


def _owner(model: nn.Module) -> PreTrainedModel | None:
    """The outermost transformers model around the mixers; None in plain PyTorch models.

    `torch.compile` and PEFT may wrap it.
    """
    found = (module for module in model.modules() if isinstance(module, PreTrainedModel))
    return next((module for module in found if module is model or is_attached(module)), None)


def _decoder_config(model: PreTrainedModel) -> PretrainedConfig:
    config: PretrainedConfig = model.config.get_text_config(decoder=True)
    return config


def _give_own_config(model: nn.Module, owner: PreTrainedModel) -> None:
    """Replace the owner's configuration with a copy of its own, in all modules of the model."""
    copied = copy.deepcopy(owner.config)
    copies = {id(owner.config): copied}
    for name, part in vars(owner.config).items():  # such as text_config
        if isinstance(part, PretrainedConfig):
            copies[id(part)] = getattr(copied, name)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, PretrainedConfig) and id(value) in copies:
                setattr(module, name, copies[id(value)])
