"""The state of one mixer inside a cache: in buffers that grow, or at fixed addresses."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor

from latentwave.errors import UserError
from latentwave.mixers import MixerState

if TYPE_CHECKING:
    from latentwave.hub.cache import MixerStates

# Histories up to this length are copied at every call, which is cheaper than managing spare room.
_SHORT = 16


class SiteState(MixerState, abc.ABC):
    """The state of one mixer, among the states of all.

    Attributes:
        num_padded: (B,), the samples of padding at the end of this call, which are not stored;
            None without padding.
    """

    def __init__(self, states: MixerStates, site: str) -> None:
        super().__init__()
        self._states, self._site = states, site
        self.num_padded: Tensor | None = None
        self._num_written: dict[str, int] = {}  # samples in the buffers of `_tensors`

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors of this state."""
        return list(self._tensors.values())

    @property
    def is_recurrent(self) -> bool:
        """Whether it holds values that are replaced rather than extended."""
        return len(self._num_written) < len(self._tensors)

    def extend(self, name: str, new: Tensor, *, history: int) -> Tensor:
        """See `MixerState.extend`."""
        if history == 0:
            return new
        buffer = self._tensors.get(name)
        if buffer is not None and (len(buffer), buffer.shape[2]) != (len(new), new.shape[2]):
            raise ValueError(
                f"the cache holds mixer state for {len(buffer)} sequences with "
                f"{buffer.shape[2]} channels, but this call has {len(new)} with {new.shape[2]}: "
                "start from an empty cache"
            )
        return self._extend(name, buffer, new, history)

    @abc.abstractmethod
    def _extend(self, name: str, buffer: Tensor | None, new: Tensor, history: int) -> Tensor:
        """Extend the buffer of a signal; create it if there is none."""

    def newest(self, signal: Shaped[Tensor, "B N C"], count: int) -> Shaped[Tensor, "B {count} C"]:
        """See `MixerState.newest`; skips the padding at the end."""
        if self.num_padded is None:
            return super().newest(signal, count)
        if signal.shape[1] == count + 1:  # after one token, in a form that compilers fuse
            return self._where_real(signal[:, 1:], signal[:, :-1])
        start = signal.shape[1] - count - self.num_padded.to(signal.device)
        index = start[:, None] + torch.arange(count, device=signal.device)
        return signal.gather(1, index.unsqueeze(-1).expand(-1, -1, signal.shape[2]))

    def _where_real(self, new: Tensor, old: Tensor) -> Tensor:
        """`new` where the call's one token is real, and `old` where it is padding."""
        if self.num_padded is None:
            return new
        return torch.where((self.num_padded.to(new.device) == 0)[:, None, None], new, old)

    @abc.abstractmethod
    def apply(self, function: Callable[[Tensor], Tensor]) -> None:
        """Replace every tensor by what a function makes of it."""

    def part(self, name: str) -> MixerState:
        """See `MixerState.part`; each part is a site."""
        part = self._states.of(f"{self._site}.{name}")
        part.num_padded = self.num_padded
        return part

    def clone(self) -> MixerState:
        """Refuse: the whole cache must be copied instead."""
        raise UserError("this state lives in a transformers cache: use copy.deepcopy(cache)")


class GrowingSiteState(SiteState):
    """A state in new tensors, or in buffers with spare room; tokens can be removed again."""

    def __init__(self, states: MixerStates, site: str) -> None:
        super().__init__(states, site)
        # Samples that a crop has to leave, once rows differ in padding.
        self._floor: dict[str, int] = {}
        self._num_recorded: dict[str, int] = {}  # samples that the next crop may remove

    def _extend(self, name: str, buffer: Tensor | None, new: Tensor, history: int) -> Tensor:
        if buffer is not None and self._num_written[name] < history:
            buffer = self._pad_cropped(name, buffer, history)
        self._derived.pop(name, None)
        num_kept = history + self._num_recorded.get(name, 0)
        if self._states.record_past:
            self._num_recorded[name] = num_kept - history + new.shape[1]
        if (
            history <= _SHORT
            or torch.compiler.is_compiling()
            or self.num_padded is not None
            # A mixer's own gradients may need the samples too.
            or torch.is_grad_enabled()
        ):
            if buffer is None:
                old = new.new_zeros(len(new), num_kept, new.shape[2])
            else:
                stop = self._num_written[name]
                old = buffer[:, stop - num_kept : stop]
                old = old if old.dtype == new.dtype else old.to(new.dtype)
            both = torch.cat([old, new], dim=1)
            stored = both if self.num_padded is None else self.newest(both, history)
            self._tensors[name], self._num_written[name] = stored, stored.shape[1]
            if self.num_padded is not None:
                self._floor[name] = history
                self._num_recorded.pop(name, None)
            return both if num_kept == history else both[:, num_kept - history :]
        return self._append(name, buffer, new, history, num_kept)

    def _append(
        self, name: str, buffer: Tensor | None, new: Tensor, history: int, num_kept: int
    ) -> Tensor:
        """Append to spare room in the buffer, so that the past is not copied at every call."""
        B, T, C = new.shape
        stop = 0 if buffer is None else self._num_written[name]
        if (
            buffer is None
            or buffer.dtype != new.dtype
            or buffer.is_inference() != torch.is_inference_mode_enabled()
            or buffer.shape[1] < stop + T
        ):
            # With room for as much again, copies are too rare to matter.
            grown = new.new_empty(B, 2 * num_kept + T + 64, C)
            grown[:, :num_kept] = 0 if buffer is None else buffer[:, stop - num_kept : stop]
            self._tensors[name], buffer, stop = grown, grown, num_kept
        buffer[:, stop : stop + T] = new
        self._num_written[name] = stop + T
        return buffer[:, stop - history : stop + T]

    def _pad_cropped(self, name: str, buffer: Tensor, history: int) -> Tensor:
        """Prepend zeros to a buffer that was cropped to less than its history."""
        stop, past_tokens = self._num_written[name], self._states.past_tokens
        if past_tokens is None or stop < int(past_tokens):
            where = "" if past_tokens is None else f"to {int(past_tokens)} tokens, "
            raise UserError(
                f"the cache was cropped {where}further back than the mixers' state reaches "
                f"({stop} of {history} tokens are left): crop no more than the tokens of the last "
                "call, or start from an empty cache"
            )
        zeros = buffer.new_zeros(len(buffer), history, buffer.shape[2])
        buffer = torch.cat([zeros, buffer[:, :stop]], dim=1)
        self._tensors[name], self._num_written[name] = buffer, history + stop
        return buffer

    def recall(self, name: str, dtype: torch.dtype) -> Tensor | None:
        """See `MixerState.recall`; compiled graphs recompute instead."""
        return None if torch.compiler.is_compiling() else super().recall(name, dtype)

    def remember(self, name: str, value: Tensor | None) -> None:
        """See `MixerState.remember`; sums over padding are not kept."""
        if not torch.compiler.is_compiling():
            super().remember(name, value if self.num_padded is None else None)

    def crop(self, num_tokens: int) -> None:
        """Remove the last tokens."""
        for name, written in self._num_written.items():
            left = written - num_tokens
            self._num_written[name] = left if left >= self._floor.get(name, 0) else 0
        self._num_recorded.clear()
        if num_tokens:
            self._derived.clear()

    def apply(self, function: Callable[[Tensor], Tensor]) -> None:
        """See `SiteState.apply`."""
        self._tensors = {name: function(tensor) for name, tensor in self._tensors.items()}
        self._derived.clear()


class FixedSiteState(SiteState):
    """A state that keeps every tensor at its address, for compiled graphs.

    A signal with a derived value, such as a running sum, is a ring: a new token replaces the
    oldest sample, and nothing moves.
    """

    def __init__(self, states: MixerStates, site: str) -> None:
        super().__init__(states, site)
        self._oldest: dict[str, Tensor] = {}  # (B, 1, 1), the index of a ring's oldest sample
        self._places: dict[str, Tensor] = {}  # buffers of derived values, valid or not

    @property
    def tensors(self) -> list[Tensor]:
        """See `SiteState.tensors`."""
        return [*self._tensors.values(), *self._oldest.values(), *self._places.values()]

    def _extend(self, name: str, buffer: Tensor | None, new: Tensor, history: int) -> Tensor:
        if buffer is None:
            buffer = _fixed(new.new_zeros(len(new), history, new.shape[2]))
            self._tensors[name], self._num_written[name] = buffer, history
        old, oldest = buffer, self._oldest.get(name)
        if oldest is not None:
            order = (oldest + torch.arange(history, device=buffer.device)[None, :, None]) % history
            old = buffer.gather(1, order.expand_as(buffer))
            oldest.zero_()
        self._derived.pop(name, None)
        both = torch.cat([old.to(new.dtype), new], dim=1)
        buffer.copy_(self.newest(both, history))
        return both

    def push(self, name: str, new: Tensor, leaving: Tensor, *, history: int) -> Tensor:
        """See `MixerState.push`."""
        buffer, oldest = self._tensors[name], self._oldest[name]
        # One gather for all samples, the oldest last: compilers update a buffer in place only if
        # nothing reads it later, and not with scatter_.
        places = (oldest + F.pad(leaving, (0, 0, 0, 1))) % history
        samples = buffer.gather(1, places.expand(-1, -1, new.shape[2]))
        stored = self._where_real(new.to(buffer.dtype), samples[:, -1:])
        rows = torch.arange(len(new), device=new.device)
        buffer.index_put_((rows, oldest.view(-1)), stored[:, 0])
        oldest.copy_(self._where_real((oldest + 1) % history, oldest))
        return samples[:, :-1].to(new.dtype)

    def put(self, name: str, value: Tensor) -> None:
        """See `MixerState.put`."""
        if name in self._tensors:
            self._tensors[name].copy_(value)
        else:
            self._tensors[name] = _fixed(value.clone())

    def derive_early(self, name: str, derive: Callable[[Tensor], Tensor]) -> None:
        """See `MixerState.derive_early`."""
        self._keep(name, derive(self._tensors[name]))

    def _keep(self, name: str, value: Tensor) -> None:
        if name in self._places:
            self._places[name].copy_(value)
        else:
            self._places[name] = _fixed(value.detach().clone())
            first = torch.zeros(len(value), 1, 1, dtype=torch.int64, device=value.device)
            self._oldest[name] = _fixed(first)
        self._derived[name] = self._places[name]

    def remember(self, name: str, value: Tensor | None) -> None:
        """See `MixerState.remember`; at padding, the old value stays, if there is one."""
        old = self._derived.get(name)
        if value is None or (old is None and self.num_padded is not None):
            self._derived.pop(name, None)
        else:
            self._keep(name, value if old is None else self._where_real(value, old))

    def apply(self, function: Callable[[Tensor], Tensor]) -> None:
        """See `SiteState.apply`."""
        for tensors in (self._tensors, self._oldest, self._places):
            tensors.update({name: function(tensor) for name, tensor in tensors.items()})
        self._derived = {name: self._places[name] for name in self._derived}


def _fixed(tensor: Tensor) -> Tensor:
    """Tell compiled graphs that the tensor keeps its address."""
    if not torch.compiler.is_compiling():
        torch._dynamo.mark_static_address(tensor)
    return tensor
