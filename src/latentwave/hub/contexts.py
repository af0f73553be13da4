"""Context managers that pass documents, padding and state to mixers."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.hub.attached import find_anchor
from latentwave.hub.cache import MixerStates
from latentwave.hub.calls import call_by_user, use_call
from latentwave.hub.mixed_layers import check_layers
from latentwave.hub.mixed_models import MixedDecoder
from latentwave.hub.padding import Padding


@contextlib.contextmanager
def documents(
    segment_ids: Tensor | None = None, *, padding_mask: Tensor | None = None
) -> Iterator[None]:
    """Tell the mixers of models run in the `with` block about documents and padding.

    Applies to the thread that enters the block. Blocks nest, with `streaming` too: an inner block
    inherits what it does not set. `backward()` may follow the block, even with gradient
    checkpointing if each layer is checkpointed by itself; call it inside if layers are compiled
    one by one and checkpointed from outside.

    Args:
        segment_ids: (B, T), integers: no mixer reaches across a change of id.
        padding_mask: (B, T), True or 1 for real tokens; mixers skip padding.

    Raises:
        UserError: if either is not a tensor of two dimensions, or segment_ids are not integers.

    Example:
        >>> import torch
        >>> with documents(torch.tensor([[0, 0, 0, 1, 1]])):
        ...     pass  # loss = model(tokens, targets)
    """
    for name, given in (("segment_ids", segment_ids), ("padding_mask", padding_mask)):
        if given is not None and not (isinstance(given, Tensor) and given.dim() == 2):
            shape = f" of shape {tuple(given.shape)}" if isinstance(given, Tensor) else ""
            raise UserError(
                f"{name} must be a tensor (batch, tokens), got {type(given).__name__}{shape}"
            )
    with use_call(call_by_user(segment_ids=segment_ids, padding=Padding.of(padding_mask))):
        yield


@contextlib.contextmanager
def streaming(model: nn.Module) -> Iterator[MixerStates]:
    """Let each call of a plain PyTorch decoder continue where the last one in the block ended.

    Use it around a model that decodes with its own cache, so that its mixers keep state too:
    chunks of any length, even single tokens, then give the same result as the whole sequence.
    Outside the block every call starts a new sequence, even if the model itself continues one.
    transformers models do not need it: their own caches carry the mixers' state. Blocks of several
    models nest. A model that runs a layer several times per call cannot stream, because its mixers
    would take each run for more tokens.

    Args:
        model: a plain PyTorch model with mixers.

    Yields:
        The state of all mixers. Like a transformers cache, it can be reset and cropped
        (`crop(-n)` removes the last n tokens, at most those of the last call), and its sequences
        can be repeated and selected.

    Raises:
        UserError: for a model without mixers, a transformers model, or a model whose layers were
            copied or repeated after mixers were attached.

    Example:
        >>> from latentwave.hub import attach
        >>> layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)]
        >>> model = attach(nn.Sequential(*layers), "wavelet", layers=layers, context_length=64)
        >>> with streaming(model) as state:
        ...     pass  # logits = model(tokens, cache)
    """
    needs = f"streaming needs a plain PyTorch decoder with mixers, got {type(model).__name__}: "
    anchor = find_anchor(model)
    if anchor is None:
        raise UserError(f"{needs}attach some first")
    if isinstance(anchor, MixedDecoder):
        raise UserError(f"{needs}transformers models keep the mixers' state in their own cache")
    if anchor._mixed_list is not None:
        check_layers(anchor)
    states = MixerStates(static=False, is_sliding=False)
    with use_call(call_by_user(streams=dict.fromkeys(anchor._mixed_layers, states))):
        yield states
