"""What an attention mask of any form tells: which tokens are padding, where documents begin."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache

from latentwave.errors import UserError


class Padding(NamedTuple):
    """How padding is left out: it moves behind the real tokens, and takes no filter time there.

    So padding anywhere changes nothing for the tokens around it, as in attention.

    Attributes:
        places: (B, T), where each token of a call moves.
        mask: (B, T), True for real tokens, after they have moved.
        num_padded: (B,), the others.
    """

    places: Tensor
    mask: Tensor
    num_padded: Tensor

    @classmethod
    def of(cls, mask: Tensor | None) -> Padding | None:
        """From (B, T), True or 1 for real tokens; None if there is no padding."""
        if mask is None:
            return None
        mask = mask.bool()
        num_real = mask.sum(dim=1, keepdim=True)
        behind = num_real + (~mask).cumsum(dim=1)
        places = torch.where(mask, mask.cumsum(dim=1), behind) - 1
        moved = torch.arange(mask.shape[1], device=mask.device) < num_real
        return cls(places, moved, mask.shape[1] - num_real[:, 0])

    def move(self, signal: Tensor) -> Tensor:
        """The tokens of (B, T) or (B, T, C) in their new places."""
        return torch.zeros_like(signal).scatter(1, self._index(signal), signal)

    def move_back(self, signal: Tensor) -> Tensor:
        """Undo `move`."""
        return signal.gather(1, self._index(signal))

    def _index(self, signal: Tensor) -> Tensor:
        places = self.places.to(signal.device)
        return places if signal.dim() == 2 else places.unsqueeze(-1).expand_as(signal)


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
    kind, attention_mask = _one_of(attention_mask)
    types = getattr(config, "layer_types", None) or []
    layer_index = types.index(kind) if kind in types else 0
    if attention_mask is None:
        return None
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 2:
        return _unless_all_real(attention_mask[:, attention_mask.shape[1] - num_tokens :].bool())
    if isinstance(attention_mask, Tensor) and attention_mask.dim() == 4:
        rows = keys = torch.arange(num_tokens, device=attention_mask.device)
        if attention_mask.shape[2] == 1:  # one row for all
            rows = torch.zeros_like(rows)
        if cache is not None:
            _, first_key = cache.get_mask_sizes(num_tokens, layer_index)  # of a sliding window
            keys = keys + cache.get_seq_length() - first_key
        return _unless_all_real(_allows(attention_mask[:, 0, rows, keys]))
    raise UserError(
        "mixers need the attention mask as (batch, tokens), 1 for real tokens, to tell which "
        f"tokens are padding; got {type(attention_mask).__name__}"
        + (f" of shape {tuple(attention_mask.shape)}" if hasattr(attention_mask, "shape") else "")
    )


def find_documents(attention_mask: Any, num_tokens: int) -> Tensor | None:
    """Packed documents that a block-diagonal mask tells, of a call without a cache.

    A token begins one that may not attend to the real token before it.

    Args:
        attention_mask: as for `find_padding`; only (batch, 1, tokens, tokens) tells documents.
        num_tokens: of the call.

    Returns:
        (batch, tokens), integers; None if there is one document.
    """
    _, mask = _one_of(attention_mask)
    if not isinstance(mask, Tensor) or mask.dim() != 4 or num_tokens < 2:
        return None
    if mask.shape[2:] != (num_tokens, num_tokens):
        return None
    allowed = _allows(mask[:, 0])
    real = allowed.diagonal(dim1=1, dim2=2)
    places = torch.arange(num_tokens, device=mask.device)
    last = torch.where(real, places, -1).cummax(dim=1).values
    before = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)
    joined = allowed.gather(2, before.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    begins = real & (before >= 0) & ~joined
    if not torch.compiler.is_compiling() and mask.device.type == "cpu" and not begins.any():
        return None
    return begins.cumsum(dim=1)


def _one_of(attention_mask: Any) -> tuple[str, Any]:
    """The first mask of several by type of layer, and that type."""
    if not isinstance(attention_mask, dict):
        return "", attention_mask
    given = {kind: mask for kind, mask in attention_mask.items() if mask is not None}
    return next(iter(given.items()), ("", None))


def _allows(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask == 0


def _unless_all_real(mask: Tensor) -> Tensor | None:
    """Compilers would have to guess; other devices to be waited for, which decoding does anyway."""
    if torch.compiler.is_compiling() or (mask.is_cuda and torch.cuda.is_current_stream_capturing()):
        return mask
    asks = mask.device.type == "cpu" or mask.shape[1] == 1
    return None if asks and mask.all() else mask
