"""What users tell the mixers of models that have no argument for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.hub.attached import find_anchor
from latentwave.hub.cache import MixerStates
from latentwave.hub.calls import CURRENT, Call, opened
from latentwave.hub.mixed import MixedDecoder, MixedLayer, MixedPart, check_layers
from latentwave.hub.padding import Padding


@contextlib.contextmanager
def documents(
    segment_ids: Tensor | None = None, *, padding_mask: Tensor | None = None
) -> Iterator[None]:
    """Tell the mixers of the models that run in the `with` block what their tokens are.

    It holds for the thread that enters the block. `backward()` may come after the block, with
    gradient checkpointing too if each layer is checkpointed by itself; around layers that are
    compiled one by one and checkpointed from outside, it has to come inside.

    Args:
        segment_ids: (B, T), integers: no mixer reaches across a change of them.
        padding_mask: (B, T), True or 1 for real tokens; padded ones are left out.

    Example:
        >>> import torch
        >>> with documents(torch.tensor([[0, 0, 0, 1, 1]])):
        ...     pass  # loss = model(tokens, targets)
    """
    outer = CURRENT.call
    states = outer.states if outer is not None and outer.given else None
    with opened(Call(states, segment_ids, Padding.of(padding_mask), given=True)):
        yield


@contextlib.contextmanager
def streaming(model: nn.Module) -> Iterator[MixerStates]:
    """Let each call of a plain PyTorch decoder continue where the last one in the block ended.

    A model that decodes with a cache of its own needs it, for its mixers have to remember too:
    chunks of any length, one token included, then give what the whole sequence gives. Without the
    block every call begins a new sequence, and nothing can notice that the model itself continues
    one. Models of transformers need it not: their `past_key_values` carry the mixers' state.

    Args:
        model: with mixers.

    Yields:
        The state of all mixers. It can be `reset`, cropped (`crop(-n)` takes n tokens back), and
        its batch repeated and selected, as caches of transformers can.

    Raises:
        UserError: for a model without mixers, one of transformers, or one in which a layer was
            copied or stands twice since.

    Example:
        >>> from latentwave.hub import attach
        >>> layers = [nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3)]
        >>> model = attach(nn.Sequential(*layers), "wavelet", layers=layers, context_length=64)
        >>> with streaming(model) as state:
        ...     pass  # logits = model(tokens, cache)
    """
    modules = list(model.modules())
    if any(isinstance(module, MixedDecoder) for module in modules) or not any(
        isinstance(module, MixedLayer | MixedPart) for module in modules
    ):
        raise UserError(
            f"streaming is for plain PyTorch decoders with mixers, got {type(model).__name__}: "
            "models of transformers keep the mixers' state in their past_key_values"
        )
    anchor = find_anchor(model)
    if anchor._mixed_list is not None:
        check_layers(anchor)
    states = MixerStates(static=False, is_sliding=False)
    with opened(Call(states, given=True)):
        yield states
