"""Times training steps, and caches measurements in files.

Runs that share a machine slow each other down, and runs on different machines cannot be compared.
So a run's seconds are its number of steps times the duration of one, which is timed for all
contestants together, one step of each in turn, while nothing else runs.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch.utils.data import default_collate

from latentwave.bench.data import TokenStore
from latentwave.bench.data.json_files import read_json, validated
from latentwave.bench.training import Recipe, describe_environment, open_objective
from latentwave.bench.training.engine import prepare_model
from latentwave.bench.training.environment import busy_cores
from latentwave.bench.training.files import write_json
from latentwave.bench.training.optimizers import make_optimizer
from latentwave.bench.training.processes import device
from latentwave.errors import UserError

# Timing takes at least ROUNDS rounds, and goes on up to MOST_ROUNDS while a contestant's steps have
# taken less than LONG_ENOUGH seconds in all: the median of a few short steps is a matter of luck.
ROUNDS, MOST_ROUNDS, LONG_ENOUGH = 7, 41, 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """How long the training steps of a comparison's contestants take."""

    # one duration per round, in which each contestant takes a step
    step_seconds: dict[str, Annotated[list[PositiveFloat], Field(min_length=1)]]
    # cores that other processes kept busy meanwhile; None where unknown
    busy_cores: NonNegativeFloat | None
    environment: dict[str, Any]  # of the timing, see `describe_environment`

    def seconds_per_step(self, name: str) -> float:
        """The contestant's median share of a round, times the median round.

        Shares, because a machine that is faster in one round than in the next favours nobody.
        """
        rounds = [statistics.mean(each) for each in zip(*self.step_seconds.values(), strict=False)]
        pairs = zip(self.step_seconds[name], rounds, strict=False)
        share = float(statistics.median(seconds / mean for seconds, mean in pairs))
        return share * float(statistics.median(rounds))


def take_clock(recipe: Recipe, store: TokenStore, *, rounds: int | None = None) -> Clock:
    """Time the training steps of all contestants, and how busy others keep the machine meanwhile.

    A step is what the recipe makes of it: forward and backward passes, compiled or recomputing,
    clipping and the optimizer. The contestants take turns; two rounds warm up and are not counted.
    Without a number of `rounds` there are at least 7, and more of short steps.
    """
    process = psutil.Process()
    steps, compiled = {}, []
    for name in recipe.contestants:
        steps[name], was_compiled = _stepper(recipe.as_seen_by(name), name, store)
        compiled.append(was_compiled)
    for step in steps.values():
        step(0)  # may compile, in child processes that must not count as other programs
        step(0)  # the optimizer has its state now, and compilers may not have expected it
    busy_cores(process)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for count in range(1, (rounds or MOST_ROUNDS) + 1):
        for name, step in steps.items():
            seconds[name].append(step(count))
        spent = sum(map(sum, seconds.values())) / len(seconds)
        if rounds is None and count >= ROUNDS and spent > LONG_ENOUGH:
            break
    environment = describe_environment() | {"compiled": all(compiled)}
    return Clock(step_seconds=seconds, busy_cores=busy_cores(process), environment=environment)


def _stepper(recipe: Recipe, name: str, store: TokenStore) -> tuple[Callable[[int], float], bool]:
    """A function that trains on batch number n and returns the seconds; whether it is compiled."""
    settings, objective = recipe.training, open_objective(recipe, store)
    items, collate = objective.training_set(0), objective.collate or default_collate
    where = device()
    model: Any = objective.build(recipe.contestants[name], seed=0)
    compiled = prepare_model(model, settings)
    model.to(where)
    optimizer = make_optimizer(model, settings)
    passes = settings.gradient_accumulation_steps
    size = settings.batch_size // passes
    bf16 = settings.precision == "bfloat16"

    def now() -> float:
        if where.type != "cpu":
            torch.accelerator.synchronize(where)
        return time.perf_counter()

    def step(number: int) -> float:
        batches = []
        for index in range(passes):
            # Short runs may have fewer batches than rounds.
            first = (number * passes + index) % (settings.num_steps * passes) * size
            batch = collate([items[first + offset] for offset in range(size)])
            batches.append({key: value.to(where) for key, value in batch.items()})
        started = now()
        for batch in batches:
            with torch.autocast(where.type, torch.bfloat16, enabled=bf16):
                loss = model(**batch).loss / passes
            loss.backward()
        torch.nn.utils.clip_grad_norm_(
            model.parameters(), settings.max_grad_norm, error_if_nonfinite=False
        )
        optimizer.step()
        optimizer.zero_grad()
        return now() - started

    return step, compiled


def read_measured(path: Path, setting: Any, schema: Any) -> Any:
    """What `write_measured` wrote for the same setting, as an object of type `schema`.

    None where it must be measured again: the file is missing, damaged or of another setting.
    """
    try:
        content = read_json(path, "it is measured again")
        # The setting as it returns from a file, with lists for tuples.
        if content.get("setting") != json.loads(json.dumps(setting)):
            return None
        return validated(content.get("values"), schema)
    except (UserError, OSError, ValueError):
        return None


def write_measured(path: Path, setting: Any, values: Any) -> None:
    """Write plain values for `read_measured`, and make the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"setting": setting, "values": values})
