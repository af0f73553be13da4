"""Mixer state inside the cache that transformers passes through a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor
from transformers import cache_utils

from latentwave.errors import UserError
from latentwave.mixers import MixerState

# Histories up to this length are copied at every call, which is cheaper than managing spare room.
_SHORT = 16


class MixerStates:
    """The states of all mixers of a model, as one more layer at the end of a cache.

    Everything done to the layers of a cache (reordering for beam search, expanding and selecting
    batches, cropping, resetting, copying) is therefore done to the mixers' state too.

    Args:
        static: keep every tensor at its address, as static caches do for compiled graphs.
        is_sliding: the layer's answer when transformers looks for a layer with or without a
            sliding window; chosen so that this one is never picked.
    """

    # Attributes that transformers reads from cache layers; these values are neutral.
    supports_early_init = False
    is_compileable = True
    is_initialized = True
    keys = values = None

    def __init__(self, *, static: bool, is_sliding: bool) -> None:
        self.static = static
        self.is_sliding = is_sliding
        self.past_tokens: int | Tensor = 0  # before the current call
        self._sites: dict[str, SiteState] = {}

    def of(self, site: str) -> SiteState:
        """The state of the mixer at a site."""
        if site not in self._sites:
            self._sites[site] = SiteState(self)
        return self._sites[site]

    @property
    def num_bytes(self) -> int:
        """Memory of all states, including spare room in growing buffers."""
        return sum(site.num_bytes for site in self._sites.values())

    @property
    def is_croppable(self) -> bool:
        """Whether tokens can be removed again."""
        return not any(site.is_recurrent for site in self._sites.values())

    def crop(self, tokens_to_remove: int | Tensor) -> None:
        """Remove the last −tokens_to_remove tokens.

        Raises:
            UserError: if a mixer is recurrent.
        """
        if not self.is_croppable:
            raise UserError(
                "a recurrent mixer cannot undo tokens, so its cache cannot be cropped: "
                "generate without assisted decoding or prompt lookup"
            )
        for site in self._sites.values():
            site.crop(abs(int(tokens_to_remove)))

    def reset(self) -> None:
        """Forget all tokens."""
        if not self.static:
            self._sites.clear()
        for site in self._sites.values():
            site.change(Tensor.zero_)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Reorder the batch for beam search."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence of the batch."""
        for site in self._sites.values():
            site.change(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the chosen sequences of the batch."""
        for site in self._sites.values():
            site.change(lambda tensor: tensor[indices.to(tensor.device)])

    def offload(self) -> None:
        """Do nothing: states are too small to be worth moving."""

    prefetch = offload

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class SiteState(MixerState):
    """The state of one mixer.

    Attributes:
        num_padded: (B,), how many samples at the end of this call are padding, which is not
            stored; None without padding.

    Args:
        states: the states of all mixers.
    """

    def __init__(self, states: MixerStates) -> None:
        super().__init__()
        self.num_padded: Tensor | None = None
        self._floor: dict[
            str, int
        ] = {}  # samples that a crop must leave, set once rows differ in padding
        self._states = states
        self._num_written: dict[str, int] = {}  # samples in the buffers of `_tensors`
        # With fixed addresses only: where the oldest sample of a buffer stands, which is a ring
        # then, (B, 1, 1), and where derived values lie, valid or not.
        self._oldest: dict[str, Tensor] = {}
        self._places: dict[str, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """Memory of its tensors."""
        held = (self._tensors, self._oldest, self._places)
        return sum(int(tensor.nbytes) for tensors in held for tensor in tensors.values())

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
        if self._states.static:
            return self._shift(name, buffer, new, history)
        if buffer is not None and self._num_written[name] < history:
            buffer = self._pad_cropped(name, buffer, history)
        self._derived.pop(name, None)
        if (
            history <= _SHORT
            or torch.compiler.is_compiling()
            or self.num_padded is not None
            or new.requires_grad
            or (buffer is not None and buffer.requires_grad)
        ):
            if buffer is None:
                old = new.new_zeros(len(new), history, new.shape[2])
            else:
                stop = self._num_written[name]
                old = buffer[:, stop - history : stop]
                old = old if old.dtype == new.dtype else old.to(new.dtype)
            both = torch.cat([old, new], dim=1)
            stored = both if self.num_padded is None else self.newest(both, history)
            self._tensors[name], self._num_written[name] = stored, stored.shape[1]
            if self.num_padded is not None:
                self._floor[name] = history
            return both
        return self._append(name, buffer, new, history)

    def _shift(self, name: str, buffer: Tensor | None, new: Tensor, history: int) -> Tensor:
        """Shift in place, so that the state keeps its address for compiled graphs."""
        if buffer is None:
            buffer = new.new_zeros(len(new), history, new.shape[2])
            self._tensors[name], self._num_written[name] = _fixed(buffer), history
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
        """See `MixerState.push`; with fixed addresses one sample of a ring is replaced."""
        if not self._states.static:
            return super().push(name, new, leaving, history=history)
        buffer, oldest = self._tensors[name], self._oldest[name]
        # One gather for all, the oldest sample last: compilers write in place only what is not
        # read later, and so not by scatter_ either.
        places = (oldest + F.pad(leaving, (0, 0, 0, 1))) % history
        samples = buffer.gather(1, places.expand(-1, -1, new.shape[2]))
        stored, real = new.to(buffer.dtype), self._is_real(new.device)
        stored = stored if real is None else torch.where(real, stored, samples[:, -1:])
        following = oldest + (1 if real is None else real)
        rows = torch.arange(len(new), device=new.device)
        buffer.index_put_((rows, oldest.view(-1)), stored[:, 0])
        oldest.copy_(following % history)
        return samples[:, :-1].to(new.dtype)

    def _is_real(self, device: torch.device) -> Tensor | None:
        """(B, 1, 1), whether the one new token is no padding; None without padding."""
        if self.num_padded is None:
            return None
        return (self.num_padded.to(device) == 0)[:, None, None]

    def _append(self, name: str, buffer: Tensor | None, new: Tensor, history: int) -> Tensor:
        """Append to spare room in the buffer, so that the past is not copied at every call."""
        B, T, C = new.shape
        stop = 0 if buffer is None else self._num_written[name]
        foreign = buffer is not None and buffer.is_inference() != torch.is_inference_mode_enabled()
        if buffer is None or foreign or buffer.shape[1] < stop + T:
            # With room for one more history, copies are too rare to matter.
            grown = new.new_empty(B, 2 * history + T + 64, C)
            grown[:, :history] = 0 if buffer is None else buffer[:, stop - history : stop]
            self._tensors[name], buffer, stop = grown, grown, history
        buffer[:, stop : stop + T] = new
        self._num_written[name] = stop + T
        return buffer[:, stop - history : stop + T]

    def _pad_cropped(self, name: str, buffer: Tensor, history: int) -> Tensor:
        """Prepend zeros to a buffer that was cropped to less than its history."""
        stop, past_tokens = self._num_written[name], int(self._states.past_tokens)
        if stop < past_tokens:
            raise UserError(
                f"the cache was cropped to {past_tokens} tokens, further back than the mixers' "
                f"state reaches ({stop} of {history} tokens are left): crop no more than the "
                "tokens of the last call, or start from an empty cache"
            )
        zeros = buffer.new_zeros(len(buffer), history, buffer.shape[2])
        buffer = torch.cat([zeros, buffer[:, :stop]], dim=1)
        self._tensors[name], self._num_written[name] = buffer, history + stop
        return buffer

    def newest(self, signal: Shaped[Tensor, "B N C"], count: int) -> Shaped[Tensor, "B {count} C"]:
        """See `MixerState.newest`; skips the padding at the end."""
        if self.num_padded is None:
            return super().newest(signal, count)
        if signal.shape[1] == count + 1:  # after one token, in a form that compilers fuse
            real = (self.num_padded.to(signal.device) == 0)[:, None, None]
            return torch.where(real, signal[:, 1:], signal[:, :-1])
        start = signal.shape[1] - count - self.num_padded.to(signal.device)
        index = start[:, None] + torch.arange(count, device=signal.device)
        return signal.gather(1, index.unsqueeze(-1).expand(-1, -1, signal.shape[2]))

    def put(self, name: str, value: Tensor) -> None:
        """See `MixerState.put`."""
        old = self._tensors.get(name)
        if not self._states.static:
            self._tensors[name] = value
        elif old is None:
            self._tensors[name] = _fixed(value.clone())
        else:
            old.copy_(value)

    def derive_early(self, name: str, derive: Callable[[Tensor], Tensor]) -> None:
        """See `MixerState.derive_early`."""
        if self._states.static:
            self._keep(name, derive(self._tensors[name]))

    def _keep(self, name: str, value: Tensor) -> None:
        """Write a derived value to its fixed address; from then on its samples are a ring."""
        if name in self._places:
            self._places[name].copy_(value)
        else:
            self._places[name] = _fixed(value.detach().clone())
            first = torch.zeros(len(value), 1, 1, dtype=torch.int64, device=value.device)
            self._oldest[name] = _fixed(first)
        self._derived[name] = self._places[name]

    def recall(self, name: str) -> Tensor | None:
        """See `MixerState.recall`; graphs recompute what has no fixed address."""
        recomputed = torch.compiler.is_compiling() and not self._states.static
        return None if recomputed else super().recall(name)

    def remember(self, name: str, value: Tensor | None) -> None:
        """See `MixerState.remember`; padding changes no value, or leaves none."""
        if self._states.static and value is not None:
            old, real = self._derived.get(name), self._is_real(value.device)
            if real is None:
                self._keep(name, value)
            elif old is not None:
                self._keep(name, torch.where(real, value, old))
        elif value is None or self.num_padded is not None:
            self._derived.pop(name, None)
        elif not torch.compiler.is_compiling():
            self._derived[name] = value

    def crop(self, num_tokens: int) -> None:
        """Remove the last tokens."""
        for name, written in self._num_written.items():
            left = written - num_tokens
            self._num_written[name] = left if left >= self._floor.get(name, 0) else 0
        if num_tokens:
            self._derived.clear()

    def change(self, change: Callable[[Tensor], Tensor]) -> None:
        """Replace every tensor."""
        self._tensors = {name: change(tensor) for name, tensor in self._tensors.items()}
        self._oldest = {name: change(tensor) for name, tensor in self._oldest.items()}
        self._places = {name: change(tensor) for name, tensor in self._places.items()}
        self._derived = {name: self._places[name] for name in self._derived if self._states.static}

    def clone(self) -> MixerState:
        """Not supported: copy the whole cache instead.

        Raises:
            UserError: always.
        """
        raise UserError("this state lives in a transformers cache: use copy.deepcopy(cache)")


def _fixed(tensor: Tensor) -> Tensor:
    """The tensor, marked for compiled graphs as one whose address stays."""
    if not torch.compiler.is_compiling():
        torch._dynamo.mark_static_address(tensor)
    return tensor


def states_in(cache: cache_utils.Cache, num_layers: int) -> MixerStates:
    """The mixers' states in a cache, added if the cache is empty.

    Args:
        cache: any transformers cache.
        num_layers: number of decoder layers in the model.

    Raises:
        UserError: if the cache holds tokens that the mixers have not seen, or has no layers.
    """
    layers: list[Any] | None = getattr(cache, "layers", None)
    if layers is None:
        raise UserError(
            f"a {type(cache).__name__} cannot carry mixer state: use a DynamicCache or a "
            "StaticCache"
        )
    if layers and isinstance(layers[-1], MixerStates):
        states: MixerStates = layers[-1]
        states.past_tokens = cache.get_seq_length()
        return states
    num_tokens = cache.get_seq_length()
    if not isinstance(num_tokens, Tensor) or not torch.compiler.is_compiling():
        num_tokens = int(num_tokens)
        if num_tokens > 0:
            raise UserError(
                f"the cache holds {num_tokens} tokens that the mixers have not seen: "
                "fill it through this model, with the mixers attached and in eval mode"
            )
    while len(layers) < num_layers:  # a cache without a config creates its layers lazily
        layers.append((cache.layer_class_to_replicate or cache_utils.DynamicLayer)())
    attends = [layer for layer in layers if isinstance(layer, cache_utils.CacheLayerMixin)]
    states = MixerStates(
        static=any(isinstance(layer, cache_utils.StaticLayer) for layer in layers),
        is_sliding=all(getattr(layer, "is_sliding", False) for layer in attends),
    )
    layers.append(states)
    return states
