"""Running sums over windows of any length: constant work per generated token."""

import itertools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from latentwave.mixers.constants import Constant, has_float64
from latentwave.mixers.state import MixerState


class RunningSums:
    """Sums over the last w samples of the signal "x" in a state.

        s_w(t) = s_w(t − 1) + x(t) − x(t − w)

    In float64 they do not drift: after 10^6 tokens the error is far below float32's rounding. An
    infinity or a NaN stays in them until a call with several tokens, or a new state.

    Args:
        windows: w, (K, 1) for K windows over every channel, or (1, C) for one per channel.
    """

    def __init__(self, windows: NDArray[Any]) -> None:
        self.history = int(windows.max())
        self._leaving = Constant((self.history - windows)[None])
        self._lengths, which = np.unique(windows, return_inverse=True)
        self._which = Constant(which.reshape(windows.shape)[None])

    @staticmethod
    def can_step(x: Tensor, runs: Tensor | None) -> bool:
        """Whether a call can be a `step`: one generated token of a single document."""
        return x.shape[1] == 1 and runs is None and not x.requires_grad and has_float64(x.device)

    def step(self, x: Float[Tensor, "B 1 C"], state: MixerState) -> Float[Tensor, "B K C"]:
        """The sums after one more token, in float64 and few operations: launches dominate here."""
        sums = state.recall("x", x.dtype)
        if sums is None:
            sums = self._sum(state.extend("x", x, history=self.history))
        else:
            sums = sums + x
            sums -= state.push("x", x, self._leaving.on(x.device), history=self.history)
        state.remember("x", sums)
        return sums

    def prepare(self, state: MixerState, device: torch.device) -> None:
        """After calls that are no step, give a state of fixed addresses its sums."""
        if has_float64(device):
            state.derive_early("x", self._sum)

    def _sum(self, samples: Tensor) -> Tensor:
        # From one length to the next, so that no copy is as long as the history.
        newest, ends = samples.shape[1], [0, *self._lengths.tolist()]
        parts = [
            samples[:, newest - long : newest - short].sum(1, dtype=torch.float64)
            for short, long in itertools.pairwise(ends)
        ]
        sums, which = torch.stack(parts, 1).cumsum(1), self._which.on(samples.device)
        return sums.gather(1, which.expand(len(samples), -1, samples.shape[2]))
