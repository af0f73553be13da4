"""Fixed arrays and learned matrices of mixers: constants, initial values, casts."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


class Constant:
    """A fixed array that a mixer computes with.

    Unlike a buffer, it keeps its precision when the model is cast and its values when the model is
    built on the meta device, and processes do not broadcast it at every step. Copies for other
    devices are made when the mixer moves there, see `make_ready`, or on first use.

    Args:
        values: float64 or int64; copied.

    Example:
        >>> Constant(np.array([0.1])).on(torch.device("cpu"))
        tensor([0.1000], dtype=torch.float64)
    """

    def __init__(self, values: NDArray[Any]) -> None:
        cpu = self._original = torch.from_numpy(np.array(values))
        self._copies = {(cpu.device, cpu.dtype): cpu}
        self.make_ready(cpu.device)

    def __reduce__(self) -> tuple[type["Constant"], tuple[NDArray[Any]]]:
        """Pickle the array alone: its copies belong to the devices of this process."""
        return Constant, (self._original.numpy(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Constant":
        """The same object: nothing ever changes it."""
        return self

    def make_ready(self, device: torch.device, *dtypes: torch.dtype) -> None:
        """Copy the array to a device, as it is, in float32 and in further dtypes.

        A compiled function that makes a copy itself is compiled again at its next call.
        """
        own = self._original.dtype
        wanted = {own, torch.float32, *dtypes} if own.is_floating_point else {own}
        for dtype in wanted:
            if dtype != torch.float64 or has_float64(device):
                self.on(device, dtype)

    def on(self, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        """The array on a device, rounded before the transfer; do not write to it."""
        key = (device, self._original.dtype if dtype is None else dtype)
        copy = self._copies.get(key)
        if copy is None:
            with torch.inference_mode(False):  # so that training can use it
                copy = self._original.to(key[1]).to(device)
            if type(copy) is Tensor:  # not the fake ones of torch.export, which end with it
                self._copies[key] = copy
        return copy


def has_float64(device: torch.device) -> bool:
    """Whether a device supports float64; Apple GPUs do not."""
    return device.type != "mps"


@torch.no_grad()
def fill(parameter: nn.Parameter, values: NDArray[Any]) -> None:
    """Write an array into a parameter of the same shape, on any device and of any dtype."""
    copy_whole(parameter, torch.from_numpy(values).to(parameter.dtype))


def copy_whole(target: Tensor, values: Tensor) -> None:
    """Copy values into a tensor of the same shape that FSDP2 may have sharded."""
    if is_sharded(target):
        from torch.distributed.tensor import distribute_tensor  # slow to import, rarely needed

        sharded: Any = target
        values = distribute_tensor(values, sharded.device_mesh, sharded.placements)
    target.copy_(values)


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process holds only its share, as with FSDP2."""
    return hasattr(tensor, "full_tensor")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` in the dtype of x, also for float32 matrices beside a bfloat16 signal."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def reset_linear(weight: Tensor, bias: Tensor | None = None) -> None:
    """Initialise a (rows, columns) matrix and its bias like `nn.Linear`."""
    bound = weight.shape[1] ** -0.5
    nn.init.uniform_(weight, -bound, bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)
