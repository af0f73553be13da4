"""Find padding and document boundaries in an attention mask of any form."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache

from latentwave.errors import UserError


class Padding(NamedTuple):
    """A mask of padding, and the move of all padding after the real tokens.

    No filter sees it there, so it never affects the tokens around it, as in attention.

    Attributes:
        positions: (B, T), where each token moves; None for single tokens, which do not move.
        mask: (B, T), True for real tokens, after the move.
        num_padded: (B,), the number of padding tokens.
    """

    positions: Tensor | None
    mask: Tensor
    num_padded: Tensor

    @classmethod
    def of(cls, mask: Tensor | None) -> "Padding | None":
        """Build from a mask (B, T), True or 1 for real tokens; None for no mask."""
        if mask is None:
            return None
        mask = mask.bool()
        if mask.shape[1] == 1:
            return cls(None, mask, (~mask[:, 0]).long())
        num_real = mask.sum(dim=1, keepdim=True)
        after_real = num_real + (~mask).cumsum(dim=1)
        positions = torch.where(mask, mask.cumsum(dim=1), after_real) - 1
        moved = torch.arange(mask.shape[1], device=mask.device) < num_real
        return cls(positions, moved, mask.shape[1] - num_real[:, 0])

    def move(self, signal: Tensor) -> Tensor:
        """Move the tokens of (B, T) or (B, T, C) to their new positions."""
        if self.positions is None:
            return signal
        return torch.zeros_like(signal).scatter(1, _index(self.positions, signal), signal)

    def move_back(self, signal: Tensor) -> Tensor:
        """Undo `move`."""
        if self.positions is None:
            return signal
        return signal.gather(1, _index(self.positions, signal))


def _index(positions: Tensor, signal: Tensor) -> Tensor:
    index = positions.to(signal.device)
    return index if signal.dim() == 2 else index.unsqueeze(-1).expand_as(signal)


def find_padding(
    attention_mask: Any, num_tokens: int, cache: Cache | None, config: PretrainedConfig
) -> Tensor | None:
    """Find which of the new tokens are real: (batch, new), boolean; None if all are.

    The mask is (batch, past + new), 1 for real tokens; or (batch, 1, new or 1, keys), boolean or
    added to the scores, as static caches and encoders use, where padding may not even attend to
    itself; or a dict of such masks by layer type. The cache does not hold the new tokens yet.
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
        if attention_mask.shape[2] == 1:  # all tokens share one row
            rows = torch.zeros_like(rows)
        if cache is not None:
            _, first_key = cache.get_mask_sizes(num_tokens, layer_index)  # > 0 in a window
            keys = keys + cache.get_seq_length() - first_key
        return _unless_all_real(_allows(attention_mask[:, 0, rows, keys]))
    raise UserError(
        "mixers need an attention mask of shape (batch, tokens), 1 for real tokens, to find "
        f"padding; got {type(attention_mask).__name__}"
        + (f" of shape {tuple(attention_mask.shape)}" if hasattr(attention_mask, "shape") else "")
    )


def find_documents(attention_mask: Any, num_tokens: int, *, wait: bool = False) -> Tensor | None:
    """Packed documents from a block-diagonal mask, for a call without earlier tokens.

    A token that may not attend to the previous real token starts a new document. Of the masks that
    `find_padding` takes, only (batch, 1, tokens, tokens) shows documents. On an accelerator, only
    `wait` checks whether there are several, because that waits for it.

    Returns:
        (batch, tokens), integers; None for other masks, or if the check finds one document.
    """
    _, mask = _one_of(attention_mask)
    if not isinstance(mask, Tensor) or mask.dim() != 4 or num_tokens < 2:
        return None
    if mask.shape[2:] != (num_tokens, num_tokens):
        return None
    allowed = _allows(mask[:, 0])
    real = allowed.diagonal(dim1=1, dim2=2)
    positions = torch.arange(num_tokens, device=mask.device)
    last = torch.where(real, positions, -1).cummax(dim=1).values
    before = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)
    joined = allowed.gather(2, before.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    begins = real & (before >= 0) & ~joined
    can_check = not torch.compiler.is_compiling() and (wait or mask.device.type == "cpu")
    if can_check and not begins.any():
        return None
    return begins.cumsum(dim=1)


def _one_of(attention_mask: Any) -> tuple[str, Any]:
    if not isinstance(attention_mask, dict):
        return "", attention_mask
    given = {kind: mask for kind, mask in attention_mask.items() if mask is not None}
    return next(iter(given.items()), ("", None))


def _allows(mask: Tensor) -> Tensor:
    # An added mask may hold biases; old code forbids with −10000, which bfloat16 rounds.
    return mask if mask.dtype == torch.bool else mask > -5000


def _unless_all_real(mask: Tensor) -> Tensor | None:
    """The mask; None if all tokens are real and no extra wait for a device is needed to see it."""
    if torch.compiler.is_compiling() or (mask.is_cuda and torch.cuda.is_current_stream_capturing()):
        return mask
    can_check = mask.device.type == "cpu" or mask.shape[1] == 1  # decoding syncs anyway
    return None if can_check and mask.all() else mask
