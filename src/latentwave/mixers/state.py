"""The state that a mixer carries between calls on the same sequence."""

from collections.abc import Callable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


class MixerState:
    """The streaming tensors of one mixer, empty before the first token.

    Filters read the past through `extend` alone: it returns old and new samples together and
    stores what the next call needs. Subclasses keep the tensors elsewhere, such as in the cache of
    a Hugging Face model.

    Example:
        >>> state = MixerState()
        >>> state.extend("x", torch.ones(1, 2, 1), history=3).flatten()
        tensor([0., 0., 0., 1., 1.])
        >>> state.extend("x", torch.full((1, 1, 1), 5.0), history=3).flatten()
        tensor([0., 1., 1., 5.])
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._derived: dict[str, Tensor] = {}
        self._parts: dict[str, MixerState] = {}

    def __contains__(self, name: str) -> bool:
        """Whether `name` was written before."""
        return name in self._tensors

    def extend(
        self, name: str, new: Shaped[Tensor, "B T C"], *, history: int
    ) -> Shaped[Tensor, "B {history}+T C"]:
        """Append `new` to the last `history` samples, and store the last `history` of both.

        Args:
            name: the signal.
            new: (B, T, C), the new samples.
            history: past samples to return; the same at every call.

        Returns:
            (B, history + T, C), with zeros before the first token.

        Raises:
            ValueError: if batch size, channels or history differ from earlier calls.
        """
        B, _, C = new.shape
        old = self._tensors.get(name)
        if old is None:
            old = new.new_zeros(B, history, C)
        elif tuple(old.shape) != (B, history, C):
            raise ValueError(
                f"the state of {name!r} holds {tuple(old.shape)} samples (batch, history, "
                f"channels), but this call needs {(B, history, C)}: use one state per mixer and "
                "batch"
            )
        old = old if old.dtype == new.dtype else old.to(new.dtype)
        both = torch.cat([old, new], dim=1)
        newest = self.newest(both, history)
        # A view would keep all tokens of a long call in memory.
        self._tensors[name] = newest.clone() if new.shape[1] > history else newest
        self._derived.pop(name, None)
        return both

    def push(
        self,
        name: str,
        new: Shaped[Tensor, "B 1 C"],
        leaving: Int[Tensor, "1 N #C"],
        *,
        history: int,
    ) -> Shaped[Tensor, "B N C"]:
        """Append a sample like `extend`, but return only those at `leaving`, 0 being the oldest."""
        samples = self.extend(name, new, history=history)
        return samples.gather(1, leaving.expand(len(new), -1, new.shape[2]))

    def newest(self, signal: Shaped[Tensor, "B N C"], count: int) -> Shaped[Tensor, "B {count} C"]:
        """The last `count` samples of a signal, where the next call continues."""
        return signal[:, signal.shape[1] - count :]

    def get(self, name: str) -> Tensor | None:
        """The tensor last stored under `name`, or None before the first call."""
        return self._tensors.get(name)

    def put(self, name: str, value: Tensor) -> None:
        """Store a copy of a recurrent value (one that is replaced, not extended)."""
        self._tensors[name] = value.clone()

    def derive_early(self, name: str, derive: Callable[[Tensor], Tensor]) -> None:
        """In states of fixed addresses, `remember` what `derive` makes of the stored samples.

        `derive` maps (B, history, C) to the value that the first `recall` expects.
        """

    def recall(self, name: str, dtype: torch.dtype) -> Tensor | None:
        """The value that `remember` stored at the last call, or None if it is out of date.

        A derived value, such as a running sum, only saves work: mixers recompute it if it is
        missing, or if the samples are about to be rounded to `dtype`, that of the next ones.
        """
        value = self._derived.get(name)
        return value if value is not None and self._tensors[name].dtype == dtype else None

    def remember(self, name: str, value: Tensor | None) -> None:
        """Store a value derived from the samples of `name`; the next `extend` discards it."""
        if value is None:
            self._derived.pop(name, None)
        else:
            self._derived[name] = value

    def part(self, name: str) -> "MixerState":
        """The state of one of several mixers that share this one; empty at first."""
        if name not in self._parts:
            self._parts[name] = MixerState()
        return self._parts[name]

    def clone(self) -> "MixerState":
        """An independent copy, for example to continue one prefix in two ways."""
        other = MixerState()
        other._tensors = {name: tensor.clone() for name, tensor in self._tensors.items()}
        other._parts = {name: part.clone() for name, part in self._parts.items()}
        return other
