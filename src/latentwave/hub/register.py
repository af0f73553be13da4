"""Teach transformers' own classes to restore mixers."""

from __future__ import annotations

import functools
from typing import Any

from transformers import PreTrainedModel

from latentwave.hub.attach import CONFIG_NAME, all_mixers, attach_from_config, is_attached

_MARK = "_latentwave"


def register_with_transformers() -> None:
    """Make every model class of transformers attach the mixers that its configuration remembers.

    A class that is built from a configuration with an entry "latentwave" gets its mixers at the
    end of its constructor, before any weights are loaded. So `AutoModelForCausalLM` and all other
    classes restore them, with all that `from_pretrained` can do: shards, precisions, device maps.
    No code of a checkpoint is run. Calling this twice changes nothing.
    """
    original: Any = PreTrainedModel.post_init
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    def post_init(self: PreTrainedModel) -> Any:
        result = original(self)
        saved = getattr(self.config, CONFIG_NAME, None)
        if saved is not None and not is_attached(self):
            attach_from_config(self, saved)
            # What transformers initialises is its own; mixers come initialised.
            for each in all_mixers(self):
                for module in each.mixer.modules():
                    module._is_hf_initialized = True  # type: ignore[assignment]
        return result

    setattr(post_init, _MARK, True)
    PreTrainedModel.post_init = post_init  # type: ignore[method-assign]
