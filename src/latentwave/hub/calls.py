"""What the mixers need to know of one forward pass, and how it reaches them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from latentwave.errors import UserError
from latentwave.hub.cache import MixerStates
from latentwave.hub.padding import Padding


class Call:
    """The facts of one forward pass of a decoder.

    Attributes:
        states: the mixers' memory of the sequence so far; None: there is none to keep.
        segment_ids: (B, T), the documents of packed sequences.
        padding: what of the tokens is padding; None: nothing.
        given: whether the user has given them, for all models that run meanwhile.
        task: the backward pass in which the call was opened, −1 outside of any.
    """

    def __init__(
        self,
        states: MixerStates | None = None,
        segment_ids: Tensor | None = None,
        padding: Padding | None = None,
        *,
        given: bool = False,
    ) -> None:
        self.states = states
        self.segment_ids = segment_ids
        self.padding = padding
        self.given = given
        self.task = _backward_pass()


class _Current(threading.local):
    """The call that this thread is in; compilers can trace it, other than context variables."""

    def __init__(self) -> None:
        self.call: Call | None = None


CURRENT = _Current()

# The calls in which layers were run that a backward pass may run again, by the layers' inputs.
_remembered: Any = WeakTensorKeyDictionary()
_lock = threading.Lock()


@contextlib.contextmanager
def opened(call: Call | None) -> Iterator[None]:
    """Make the facts those of the thread's current call."""
    before = CURRENT.call
    CURRENT.call = call
    try:
        yield
    finally:
        CURRENT.call = before


def _backward_pass() -> int:
    if torch.compiler.is_compiling():
        return -1
    task: int = torch._C._current_graph_task_id()
    return task


def call_of(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """The facts for a layer that is called.

    Gradient checkpointing runs layers again in the backward pass, when other facts may be
    current, or none. What the layer reads tells which call it belongs to.

    Raises:
        UserError: if the layer is run again and that cannot be told.
    """
    call = CURRENT.call
    if torch.compiler.is_compiling():
        return call
    x = args[0] if args else next(iter(kwargs.values()), None)
    task = _backward_pass()
    if task == -1 or (call is not None and call.task == task):
        if isinstance(x, Tensor) and layer.training:
            with _lock:
                _remembered[x] = call
            vars(layer)["_mixed_remembers"] = True
        return call
    with _lock:
        remembered: list[tuple[Tensor, Call | None]] = list(_remembered.items())
    for tensor, its_call in reversed(remembered):
        # Reentrant checkpointing hands on another tensor of the same values in the same place.
        if isinstance(x, Tensor) and (
            tensor is x or (tensor.data_ptr() == x.data_ptr() and tensor.shape == x.shape)
        ):
            return its_call
    if call is None and getattr(layer, "_mixed_remembers", False):
        raise UserError(
            "a layer with mixers is run again in the backward pass, and its documents, padding or "
            "state cannot be told: checkpoint each layer by itself, or call backward() inside "
            "lw.documents"
        )
    return call
