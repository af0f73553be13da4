"""Constants of mixers, safe from what happens to parameters and buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Constant:
    """A fixed array that a mixer computes with.

    Unlike a buffer it keeps its precision when a model is cast to bfloat16, its values when a
    model is laid out on the meta device and filled from a checkpoint, and is not broadcast between
    processes at every step. Copies on other devices are made when first asked for.

    Args:
        values: float64 or int64; copied.

    Example:
        >>> Constant(np.array([0.1])).on(torch.device("cpu"))
        tensor([0.1000], dtype=torch.float64)
    """

    def __init__(self, values: NDArray[Any]) -> None:
        cpu = torch.from_numpy(np.array(values))
        self._copies: dict[torch.device, Tensor] = {cpu.device: cpu}

    def on(self, device: torch.device) -> Tensor:
        """The array on a device; not to be written to."""
        copy = self._copies.get(device)
        if copy is None:
            with torch.inference_mode(False):  # so that training can use it later
                copy = self._copies[device] = self._copies[torch.device("cpu")].to(device)
        return copy
