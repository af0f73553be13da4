"""What a ladder costs: training steps timed, costs counted, and a plan before anything runs."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence

from rich.console import Console

from latentwave.bench.comparison.clock import Clock, read_measured, take_clock, write_measured
from latentwave.bench.comparison.cost import contestant_cost
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.recipe import Cell
from latentwave.bench.ladder.results import CellCost
from latentwave.bench.training import BASELINE, Recipe
from latentwave.bench.training.progress import ERR

_CLOCK = "clock.json"


def time_steps(
    ladder: Ladder,
    store: TokenStore,
    sizes: Sequence[str] | None = None,
    console: Console | None = None,
) -> None:
    """Time the training steps of all contestants of a size in turn, and keep the durations.

    Nothing else should run meanwhile. What is kept stands in clock.json in the folder of the size.
    """
    for setting, size, recipe in trained_rungs(ladder, sizes):
        clock = time_rung(setting, size, recipe, store, console=console)
        path = ladder.folder / setting / size / _CLOCK
        write_measured(path, recipe.to_dict(), dataclasses.asdict(clock))


def time_rung(
    setting: str,
    size: str,
    recipe: Recipe,
    store: TokenStore,
    *,
    rounds: int | None = None,
    console: Console | None = None,
) -> Clock:
    """Time the training steps of one rung; says so, because compilation takes minutes."""
    console = console or ERR
    compiled = ", compiled" if recipe.training.compile else ""
    count = len(recipe.contestants)
    console.print(f"{setting}, {size}: timing training steps of {count} contestants{compiled} …")
    return take_clock(recipe, store, rounds=rounds)


def trained_rungs(
    ladder: Ladder, sizes: Sequence[str] | None = None
) -> Iterator[tuple[str, str, Recipe]]:
    """Setting and size of each rung, and one recipe for all its contestants."""
    for (setting, size), group in itertools.groupby(ladder.cells(sizes), lambda cell: cell[:2]):
        cells = list(group)
        compiled = ladder.rung(cells[0]).compiled
        recipes = [ladder.recipe.experiment(cell, compile=compiled) for cell in cells]
        contestants = {name: own for each in recipes for name, own in each.contestants.items()}
        yield setting, size, dataclasses.replace(recipes[0], contestants=contestants)


def timed_speeds(ladder: Ladder) -> dict[Cell, float]:
    """Tokens per second of the cells whose steps were timed for this very recipe."""
    speeds = {}
    for setting, size, recipe in trained_rungs(ladder):
        path = ladder.folder / setting / size / _CLOCK
        clock: Clock | None = read_measured(path, recipe.to_dict(), Clock)
        tokens = recipe.training.batch_size * recipe.backbone.context_length
        if clock is not None:
            for name in clock.step_seconds:
                speeds[Cell(setting, size, name)] = tokens / clock.seconds_per_step(name)
    return speeds


def cell_cost(
    ladder: Ladder, store: TokenStore, cell: Cell, speed: float | None = None
) -> CellCost:
    """What a contestant costs at one size; `speed` is in tokens per second."""
    own = ladder.recipe.experiment(cell).as_seen_by(cell.contestant)
    cost = contestant_cost(own, cell.contestant, store)
    counted = cost.model_dump(exclude={"peak_memory_bytes", "decoding"})
    return CellCost(**cell._asdict(), **counted, tokens_per_second=speed)


@dataclasses.dataclass(kw_only=True)
class RungPlan:
    """One size on one setting."""

    setting: str  # how it is trained
    size: str  # its rung
    num_parameters: int  # of the plain backbone
    num_contestants: int  # that are trained
    num_runs: int = 0  # ends of training, searches included
    tokens: float = 0.0  # trained on, over all of these runs
    flops: float = 0.0  # of them
    hours: float = 0.0  # of them on one process of this machine, by a few steps of each contestant


def plan_ladder(
    ladder: Ladder,
    store: TokenStore,
    *,
    sizes: Sequence[str] | None = None,
    rounds: int = 2,
    console: Console | None = None,
) -> list[RungPlan]:
    """Count what is to be trained, and time a few steps (`rounds`) of every contestant.

    What a search has trained already counts nothing; before it ends, one rate is taken for all
    budgets.
    """
    plans = []
    for setting, size, recipe in trained_rungs(ladder, sizes):
        rung = ladder.rung(Cell(setting, size, BASELINE))
        clock = time_rung(setting, size, recipe, store, rounds=rounds, console=console)
        plan = RungPlan(
            setting=setting,
            size=size,
            num_parameters=rung.num_parameters,
            num_contestants=len(clock.step_seconds),
        )
        for name, durations in clock.step_seconds.items():
            cell = Cell(setting, size, name)
            own = [cell] if cell in ladder.searches else []
            units = [*ladder.unfinished_searches(own), *ladder.units(cell)]
            plan.num_runs += sum(len(unit.budgets) for unit in units)
            steps = sum(unit.num_steps for unit in units)
            tokens = steps * recipe.training.batch_size * recipe.backbone.context_length
            plan.tokens += tokens
            plan.flops += tokens * cell_cost(ladder, store, cell).flops_per_token
            plan.hours += steps * statistics.median(durations) / 3600
        plans.append(plan)
    return plans
