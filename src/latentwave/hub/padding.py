"""Which tokens are padding, from whatever attention mask a decoder is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache

from latentwave.errors import UserError


def find_padding(
    attention_mask: Any, num_tokens: int, cache: Cache | None, config: PretrainedConfig
) -> Tensor | None:
    """Tell the real ones among the new tokens.

    Args:
        attention_mask: (batch, past + new), 1 for real tokens: its last part counts. Or
            (batch, 1, new or 1, keys), boolean or to be added to the scores, as static caches and
            encoders are run with: a token is padding when it may not even attend to itself. Or
            such masks by type of layer.
        num_tokens: new tokens.
        cache: of the call, before the new tokens are in it.
        config: of the decoder.

    Returns:
        (batch, new), boolean, True for real tokens; None if all are real.

    Raises:
        UserError: for a mask of another form.
    """
    layer_index = 0
    if isinstance(attention_mask, dict):
        given = {kind: mask for kind, mask in attention_mask.items() if mask is not None}
        kind, attention_mask = next(iter(given.items()), ("", None))
        types = getattr(config, "layer_types", None) or []
        layer_index = types.index(kind) if kind in types else 0
    if attention_mask is None:
        return None
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 2:
        mask = attention_mask[:, attention_mask.shape[1] - num_tokens :].bool()
        # Other devices would have to be waited for, compilers would guess.
        if mask.device.type == "cpu" and not torch.compiler.is_compiling() and mask.all():
            return None
        return mask
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 4:
        rows = keys = torch.arange(num_tokens, device=attention_mask.device)
        if attention_mask.shape[2] == 1:  # one row for all
            rows = torch.zeros_like(rows)
        if cache is not None:
            _, first_key = cache.get_mask_sizes(num_tokens, layer_index)  # of a sliding window
            keys = keys + cache.get_seq_length() - first_key
        itself = attention_mask[:, 0, rows, keys]
        return itself if itself.dtype == torch.bool else itself == 0
    raise UserError(
        "mixers need the attention mask as (batch, tokens), 1 for real tokens, to tell which "
        f"tokens are padding; got {type(attention_mask).__name__}"
        + (f" of shape {tuple(attention_mask.shape)}" if hasattr(attention_mask, "shape") else "")
    )
