"""Teach transformers' own classes to restore mixers."""

from __future__ import annotations

import functools
from typing import Any

from transformers import PreTrainedModel

from latentwave.hub.attach import (
    CONFIG_NAME,
    all_mixers,
    attach_from_config,
    is_attached,
    remember_inner_mixers,
)

_MARK = "_latentwave"


def register_with_transformers() -> None:
    """Make every model class of transformers attach the mixers that its configuration remembers.

    A class that is built from a configuration with an entry "latentwave" gets its mixers at the
    end of its constructor, before any weights are loaded. So `AutoModelForCausalLM` and all other
    classes restore them, with all that `from_pretrained` can do: shards, precisions, device maps.
    No code of a checkpoint is run. A model around the one that mixers were attached to is saved
    with them too. Calling this twice changes nothing.
    """
    if hasattr(PreTrainedModel.post_init, _MARK):
        return
    original_init: Any = PreTrainedModel.post_init
    original_save: Any = PreTrainedModel.save_pretrained

    @functools.wraps(original_init)
    def post_init(self: PreTrainedModel) -> Any:
        result = original_init(self)
        saved = getattr(self.config, CONFIG_NAME, None)
        if saved is not None and not is_attached(self):
            attach_from_config(self, saved)
            # What transformers initialises is its own; mixers come initialised.
            for each in all_mixers(self):
                for module in each.mixer.modules():
                    module._is_hf_initialized = True  # type: ignore[assignment]
        return result

    @functools.wraps(original_save)
    def save_pretrained(self: PreTrainedModel, *args: Any, **options: Any) -> Any:
        remember_inner_mixers(self)
        return original_save(self, *args, **options)

    setattr(post_init, _MARK, True)
    PreTrainedModel.post_init = post_init  # type: ignore[method-assign]
    PreTrainedModel.save_pretrained = save_pretrained  # type: ignore[method-assign]
