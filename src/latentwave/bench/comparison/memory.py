"""The memory of a training step and of a cache, counted from live tensors."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that live, and their highest number, while it is entered.

    A tensor is counted from the operation that makes it until nothing refers to its storage any
    more; views share a storage, which counts once. What an operation needs while it runs and does
    not return is not seen: scratch memory of kernels, blocks of the fused filterbank.

    Attributes:
        now: bytes that live.
        peak: the most that did.

    Args:
        known: tensors that live already.

    Example:
        >>> with LiveBytes() as live:
        ...     x = torch.ones(10)  # 40 bytes
        ...     y = (x * 2).sum()  # 40 more while the sum of 4 bytes is taken
        >>> live.peak, live.now
        (84, 44)
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._storages: set[int] = set()
        for tensor in known:
            self._add(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and count what it gives."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        # The storage's Python object lives as long as the storage itself.
        weakref.finalize(storage, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.now -= size


def peak_training_bytes(model: torch.nn.Module, loss_of: Callable[[], Tensor]) -> int:
    """The most bytes of tensors that live at once in a forward and a backward pass.

    Parameters, buffers, gradients and all that the backward pass needs are in it, the optimizer's
    moments are not: AdamW's are twice the parameters. On a CPU tensors are counted, see
    `LiveBytes`, so that the number is the same every time; on a GPU it is the most that torch's
    allocator had handed out.

    Args:
        model: that is trained; its gradients are as before afterwards.
        loss_of: computes a loss from the model.

    Returns:
        Bytes.
    """
    parameters = list(model.parameters())
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    device = next((p.device for p in parameters), torch.device("cpu"))
    try:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            loss_of().backward()  # type: ignore[no-untyped-call]
            return int(torch.cuda.max_memory_allocated(device))
        with LiveBytes([*parameters, *model.buffers()]) as live:
            loss_of().backward()  # type: ignore[no-untyped-call]
        return int(live.peak)
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


def held_bytes(values: Iterable[Any]) -> int:
    """Bytes of tensors and of tensors in dictionaries; what else there is counts nothing.

    Example:
        >>> held_bytes([torch.zeros(8), {0: torch.zeros(2), 1: None}, 5])
        40
    """
    inside = [list(value.values()) if isinstance(value, Mapping) else [value] for value in values]
    tensors = itertools.chain.from_iterable(inside)
    return sum(int(tensor.nbytes) for tensor in tensors if isinstance(tensor, Tensor))
