"""What a training step takes: all contestants in turn, on one machine, at one time.

Runs that stand side by side on a machine, or on several, disturb each other's clocks. So seconds
are not taken from the runs: they are their steps times the duration of a step, and that is measured
for all contestants together, alternating, while nothing else runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from typing import Any

import psutil
import torch
from torch.utils.data import Dataset, default_collate

from latentwave.bench.data import TokenStore
from latentwave.bench.training import Recipe, open_objective
from latentwave.bench.training.engine import prepare_model
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.optimizers import make_optimizer
from latentwave.bench.training.processes import on_cpu

ROUNDS = 7
_LEARNING_RATE = 1e-5  # a step takes as long at any other
# user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in these already.
_SUMMED = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """How long the training steps of a comparison's contestants take.

    Attributes:
        step_seconds: for each contestant one duration per round; round i of all contestants was
            timed one after the other.
        busy_cores: cores that other processes kept busy meanwhile, on average; None where runs
            were not timed here. Much above 0 the numbers are doubtful.
        environment: what it was measured on, see `describe_environment`.
    """

    step_seconds: dict[str, list[float]]
    busy_cores: float | None
    environment: dict[str, Any]

    def seconds_per_step(self, name: str) -> float:
        """The median over rounds."""
        return statistics.median(self.step_seconds[name])


def measure_step_seconds(
    recipe: Recipe, store: TokenStore, *, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Time the training steps of all contestants, one step of each in turn.

    A step is a forward and a backward pass over a batch of the recipe, clipping and the recipe's
    optimizer, with what the recipe compiles or recomputes. The first round warms up and is not
    counted.

    Args:
        recipe: the comparison.
        store: its corpus.
        rounds: that count.

    Returns:
        For each contestant the seconds of one step, as many as rounds.

    Raises:
        UserError: if a contestant cannot be built.
    """
    steppers = {name: _Stepper(recipe.as_seen_by(name), name, store) for name in recipe.contestants}
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    for count in range(rounds + 1):
        for name, stepper in steppers.items():
            spent = stepper.step(count)
            if count:
                seconds[name].append(spent)
    return seconds


class OtherLoad:
    """How many cores other processes keep busy, from when it is made until it is read.

    Example:
        >>> load = OtherLoad()
        >>> load.cores() >= 0
        True
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start = (time.perf_counter(), self._others())

    def cores(self) -> float:
        """The mean since the start; 0 on an idle machine."""
        began, before = self._start
        return max(0.0, self._others() - before) / max(time.perf_counter() - began, 1e-9)

    def _others(self) -> float:
        """Seconds that cores have worked for other processes than this one."""
        system, own = psutil.cpu_times(), self._process.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0)
        return float(sum(system[:_SUMMED]) - idle - own.user - own.system)


class _Stepper:
    """One contestant, ready to train."""

    def __init__(self, recipe: Recipe, name: str, store: TokenStore) -> None:
        self._settings = recipe.training
        self._objective: Objective = open_objective(recipe, store)
        self._items: Dataset[dict[str, torch.Tensor]] = self._objective.training_set(0)
        accelerator = None if on_cpu() else torch.accelerator.current_accelerator()
        self._device = accelerator or torch.device("cpu")
        model: Any = self._objective.build(recipe.contestants[name], seed=0)
        prepare_model(model, self._settings)
        self._model = model.to(self._device)
        rates: dict[str, Any] = {
            "learning_rate": _LEARNING_RATE,
            "muon_learning_rate": _LEARNING_RATE,
        }
        slow = dataclasses.replace(self._settings, **rates)
        self._optimizer = make_optimizer(self._model, slow)

    def step(self, number: int) -> float:
        """Seconds of one step on the batch of that number."""
        passes = self._settings.gradient_accumulation_steps
        size = self._settings.batch_size // passes
        collate = self._objective.collate or default_collate
        batches = []
        for index in range(passes):
            # Short runs may have fewer batches than rounds.
            first = (number * passes + index) % (self._settings.num_steps * passes) * size
            items = [self._items[first + offset] for offset in range(size)]
            batch = collate(items)
            batches.append({key: value.to(self._device) for key, value in batch.items()})
        self._synchronize()
        started = time.perf_counter()
        for batch in batches:
            with self._autocast():
                loss = self._model(**batch).loss / passes
            loss.backward()
        torch.nn.utils.clip_grad_norm_(
            self._model.parameters(), self._settings.max_grad_norm, error_if_nonfinite=False
        )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._synchronize()
        return time.perf_counter() - started

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        wanted = self._settings.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=wanted)

    def _synchronize(self) -> None:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
