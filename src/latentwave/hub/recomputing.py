"""What gradient checkpointing needs to know when it runs a layer once more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# Where the checkpointed layers of transformers keep the function that runs and reruns them.
_FUNCTION = "_gradient_checkpointing_func"

Reopen = Callable[[], Callable[[], contextlib.AbstractContextManager[None]]]


class Recomputing:
    """A checkpointing function that reruns a layer in the call of the decoder it belongs to.

    The backward pass runs layers again when the decoder's call is over and others may have
    followed, whose padding and documents are not theirs.

    Args:
        function: the checkpointing function in use.
        reopen: called when a layer is first run; gives what opens that call again.
    """

    def __init__(self, function: Callable[..., Any], reopen: Reopen) -> None:
        self.function = function
        self._reopen = reopen

    def __call__(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a layer, to be rerun in the backward pass."""
        if torch.compiler.is_compiling():  # the backward pass is traced with the call at hand
            return self.function(run, *args, **kwargs)
        opened = self._reopen()

        def in_its_call(*inputs: Any, **named: Any) -> Any:
            with opened():
                return run(*inputs, **named)

        return self.function(in_its_call, *args, **kwargs)


def is_checkpointed(layer: nn.Module) -> bool:
    """Whether the backward pass will run the layer again."""
    return layer.training and bool(getattr(layer, "gradient_checkpointing", False))


def remember_calls(layer: nn.Module, reopen: Reopen) -> None:
    """See to it that a checkpointed layer is rerun in the call it belongs to."""
    function = getattr(layer, _FUNCTION, None)
    if is_checkpointed(layer) and function and not isinstance(function, Recomputing):
        setattr(layer, _FUNCTION, Recomputing(function, reopen))


def forget_calls(layer: nn.Module) -> None:
    """Undo `remember_calls`."""
    function = getattr(layer, _FUNCTION, None)
    if isinstance(function, Recomputing):
        setattr(layer, _FUNCTION, function.function)
