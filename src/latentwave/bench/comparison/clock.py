"""How long a training step takes, timed for all contestants in turn.

Runs that share a machine slow each other down, and runs on several machines do not compare. So the
seconds of a run are its steps times the duration of a step, and that is timed for all contestants
together, one step of each in turn, while nothing else runs.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import psutil
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch.utils.data import default_collate

from latentwave.bench.data import TokenStore
from latentwave.bench.training import Recipe, open_objective
from latentwave.bench.training.engine import prepare_model
from latentwave.bench.training.optimizers import make_optimizer
from latentwave.bench.training.processes import on_cpu

ROUNDS = 7
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

    step_seconds: dict[str, Annotated[list[PositiveFloat], Field(min_length=1)]]
    busy_cores: NonNegativeFloat | None
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
    step_of = {name: _stepper(recipe.as_seen_by(name), name, store) for name in recipe.contestants}
    seconds: dict[str, list[float]] = {name: [] for name in step_of}
    for count in range(rounds + 1):
        for name, step in step_of.items():
            spent = step(count)
            if count:
                seconds[name].append(spent)
    return seconds


def _stepper(recipe: Recipe, name: str, store: TokenStore) -> Callable[[int], float]:
    """Trains one contestant on the batch of a number, and says how many seconds that took."""
    settings, objective = recipe.training, open_objective(recipe, store)
    items, collate = objective.training_set(0), objective.collate or default_collate
    accelerator = None if on_cpu() else torch.accelerator.current_accelerator()
    device = accelerator or torch.device("cpu")
    model: Any = objective.build(recipe.contestants[name], seed=0)
    prepare_model(model, settings)
    model.to(device)
    optimizer = make_optimizer(model, settings)
    passes = settings.gradient_accumulation_steps
    size = settings.batch_size // passes

    def now() -> float:
        if accelerator is not None:
            torch.accelerator.synchronize(device)
        return time.perf_counter()

    def step(number: int) -> float:
        batches = []
        for index in range(passes):
            # Short runs may have fewer batches than rounds.
            first = (number * passes + index) % (settings.num_steps * passes) * size
            batch = collate([items[first + offset] for offset in range(size)])
            batches.append({key: value.to(device) for key, value in batch.items()})
        started = now()
        for batch in batches:
            bf16 = settings.precision == "bfloat16"
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = model(**batch).loss / passes
            loss.backward()
        torch.nn.utils.clip_grad_norm_(
            model.parameters(), settings.max_grad_norm, error_if_nonfinite=False
        )
        optimizer.step()
        optimizer.zero_grad()
        return now() - started

    return step


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
