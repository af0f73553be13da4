"""What mixers need to know about a forward pass, and how it reaches them."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from latentwave.errors import UserError
from latentwave.hub.cache import MixerStates
from latentwave.hub.padding import Padding


def _backward_pass() -> int:
    if torch.compiler.is_compiling():
        return -1
    graph_task: int = torch._C._current_graph_task_id()
    return graph_task


@dataclasses.dataclass(eq=False, kw_only=True)
class Call:
    """The context of one forward pass of a decoder.

    Attributes:
        states: the mixers' state of the sequence so far; None without a cache.
        streams: the same for models inside `streaming`, by layer.
        segment_ids: (B, T), the documents of packed sequences.
        padding: which tokens are padding; None if none are.
        decoder: the transformers decoder whose pass it is; None for a user's block.
        from_user: whether `documents` or `streaming` set it, for all models that run inside.
        backward_pass: the backward pass it was made in; −1 outside of any.
    """

    states: MixerStates | None = None
    streams: Mapping[nn.Module, MixerStates] = dataclasses.field(default_factory=dict)
    segment_ids: Tensor | None = None
    padding: Padding | None = None
    decoder: nn.Module | None = None
    from_user: bool = False
    backward_pass: int = dataclasses.field(default_factory=_backward_pass)


class _Current(threading.local):
    """This thread's current call; unlike a context variable, compilers can trace it."""

    def __init__(self) -> None:
        self.call: Call | None = None


CURRENT = _Current()

# Calls of layers that a backward pass may run again, keyed by the layers' inputs.
_calls_by_input: Any = WeakTensorKeyDictionary()
_lock = threading.Lock()


@contextlib.contextmanager
def use_call(call: Call | None) -> Iterator[None]:
    """Make a call the thread's current one."""
    before = CURRENT.call
    CURRENT.call = call
    try:
        yield
    finally:
        CURRENT.call = before


def user_call() -> Call:
    """The open call of `documents` or `streaming`; an empty one if none is open."""
    call = CURRENT.call
    return call if call is not None and call.from_user else Call()


def call_by_user(
    *,
    streams: Mapping[nn.Module, MixerStates] | None = None,
    segment_ids: Tensor | None = None,
    padding: Padding | None = None,
) -> Call:
    """A call for all models that run inside a block; None keeps the value of the block around."""
    outer = user_call()
    return Call(
        streams={**outer.streams, **(streams or {})},
        segment_ids=outer.segment_ids if segment_ids is None else segment_ids,
        padding=outer.padding if padding is None else padding,
        from_user=True,
    )


def call_of(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """The call that a run of a layer belongs to.

    Gradient checkpointing runs layers again in the backward pass, when the current call may be
    another one, or none. The layer's signal then identifies the call.

    Raises:
        UserError: if the layer is run again and its call cannot be identified.
    """
    call = CURRENT.call
    if torch.compiler.is_compiling():
        return call
    x = _signal_among((*args, *kwargs.values()))
    backward_pass = _backward_pass()
    if backward_pass == -1 or (call is not None and call.backward_pass == backward_pass):
        # Reentrant checkpointing runs layers without gradients, but its inputs require them.
        if x is not None and (torch.is_grad_enabled() or x.requires_grad):
            with _lock:
                _calls_by_input[x] = call
        if call is not None:
            vars(layer)["_mixed_recorded"] = True
        return call
    with _lock:
        recorded: list[tuple[Tensor, Call | None]] = list(_calls_by_input.items())
    for tensor, recorded_call in reversed(recorded):
        # Reentrant checkpointing passes another tensor that shares the same memory.
        if x is not None and (
            tensor is x or (tensor.data_ptr() == x.data_ptr() and tensor.shape == x.shape)
        ):
            return recorded_call
    if call is None and getattr(layer, "_mixed_recorded", False):
        raise UserError(
            "the backward pass ran a layer with mixers again, and its documents, padding or state "
            "cannot be determined: checkpoint each layer by itself, or call backward() inside "
            "lw.documents"
        )
    return call


def _signal_among(inputs: tuple[Any, ...]) -> Tensor | None:
    """The signal among a layer's inputs, which may include masks that several calls share."""
    tensors = [x for x in inputs if isinstance(x, Tensor) and x.is_floating_point() and x.dim() > 2]
    return next((x for x in tensors if x.requires_grad), tensors[0] if tensors else None)
