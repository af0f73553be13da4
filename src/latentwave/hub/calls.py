"""What the mixers need to know of one forward pass, and how it reaches them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import Tensor

from latentwave.hub.cache import MixerStates


class Call:
    """The facts of one forward pass of a decoder.

    Attributes:
        states: the mixers' memory of the sequence so far; None: there is none to keep.
        segment_ids: (B, T), the documents of packed sequences.
        padding_mask: (B, T), True for real tokens.
    """

    def __init__(
        self,
        states: MixerStates | None = None,
        segment_ids: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> None:
        self.states = states
        self.segment_ids = segment_ids
        self.padding_mask = padding_mask


class _Current(threading.local):
    """The call that this thread is in; compilers can trace it, other than context variables."""

    call: Call | None = None


CURRENT = _Current()


@contextlib.contextmanager
def opened(call: Call | None) -> Iterator[None]:
    """Make the facts those of the thread's current call."""
    before = CURRENT.call
    CURRENT.call = call
    try:
        yield
    finally:
        CURRENT.call = before
