"""Counts and times what a ladder costs, and plans it before anything runs."""

import dataclasses
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.bench.comparison.clock import Clock, read_measured, take_clock, write_measured
from latentwave.bench.comparison.cost import contestant_cost
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.recipe import OF_THE_LADDER, Cell
from latentwave.bench.ladder.results import CellCost
from latentwave.bench.training import BASELINE, Recipe
from latentwave.bench.training.progress import ERR


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Timing:
    """What was timed in turn, as the recipe had it, and how long it took."""

    contestants: dict[str, Any]
    clock: Clock

    def names(self, contestants: dict[str, Any]) -> list[str]:
        """Those that are still the same."""
        return [name for name, timed in self.contestants.items() if contestants.get(name) == timed]


def time_steps(
    ladder: Ladder,
    store: TokenStore,
    only: Sequence[str] | None = None,
    console: Console | None = None,
) -> None:
    """Time the training steps of each rung's contestants in turn, while nothing else runs.

    Contestants that the recipe has gained are timed beside the plain decoder; if all have been
    timed, they are timed again. The durations are written to clock.json in the folder of the rung.
    """
    for plain, recipe in _rungs(ladder, only):
        setting, contestants = _split(recipe)
        path = _clock_path(ladder, plain)
        timings = _timings(path, setting)
        timed = {name for each in timings for name in each.names(contestants)}
        if timed >= contestants.keys() or BASELINE not in timed:
            timings, timed = [], set()
        new = {
            name: contestant
            for name, contestant in recipe.contestants.items()
            if name == BASELINE or name not in timed
        }
        clock = _time_rung(
            plain, dataclasses.replace(recipe, contestants=new), store, console=console
        )
        chosen = {name: contestants[name] for name in new}
        timings.append(_Timing(contestants=chosen, clock=clock))
        write_measured(path, setting, [dataclasses.asdict(each) for each in timings])


def _timings(path: Path, setting: dict[str, Any]) -> list[_Timing]:
    """What was timed for the same setting, the earliest first."""
    timings: list[_Timing] | None = read_measured(path, setting, list[_Timing])
    return timings or []


def _clock_path(ladder: Ladder, plain: Cell) -> Path:
    return ladder.folder / plain.setting / plain.size / "clock.json"


def _split(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a recipe makes of a step, and its contestants, as they return from a file."""
    setting = json.loads(json.dumps(recipe.to_dict()))
    for name in OF_THE_LADDER:
        del setting["training"][name]
    return setting, setting.pop("contestants")


def _time_rung(
    plain: Cell,
    recipe: Recipe,
    store: TokenStore,
    *,
    rounds: int | None = None,
    console: Console | None = None,
) -> Clock:
    compiled = ", compiled" if recipe.training.compile else ""  # which takes minutes
    steps = f"training steps of {len(recipe.contestants)} contestants{compiled}"
    (console or ERR).print(f"{plain.setting}, {plain.size}: timing {steps} …")
    return take_clock(recipe, store, rounds=rounds)


def _rungs(ladder: Ladder, only: Sequence[str] | None = None) -> Iterator[tuple[Cell, Recipe]]:
    """The plain decoder's cell of each rung, and one recipe for all contestants there."""
    for _, group in itertools.groupby(ladder.cells(only), lambda cell: cell[:2]):
        cells = list(group)
        compiled = ladder.rung(cells[0]).compiled
        recipes = [ladder.recipe.experiment(cell, compile=compiled) for cell in cells]
        contestants = dict(itertools.chain(*(each.contestants.items() for each in recipes)))
        plain = cells[0]._replace(contestant=BASELINE)
        yield plain, dataclasses.replace(recipes[0], contestants=contestants)


def timed_speeds(ladder: Ladder) -> dict[Cell, float]:
    """Tokens per second of the cells whose steps were timed for the same recipe.

    What was timed later counts relative to the plain decoder beside it, as if that had been as
    fast as at first.
    """
    speeds: dict[Cell, float] = {}
    for plain, recipe in _rungs(ladder):
        setting, contestants = _split(recipe)
        tokens = recipe.training.batch_size * recipe.backbone.context_length
        for timing in _timings(_clock_path(ladder, plain), setting):
            clock, names = timing.clock, timing.names(contestants)
            if BASELINE in names:
                here = tokens / clock.seconds_per_step(BASELINE)
                scale = speeds.setdefault(plain, here) / here
                for name in names:
                    speed = scale * tokens / clock.seconds_per_step(name)
                    speeds.setdefault(plain._replace(contestant=name), speed)
    return speeds


def cell_cost(
    ladder: Ladder, store: TokenStore, cell: Cell, speed: float | None = None
) -> CellCost:
    """What a contestant costs at one size; `speed` is in tokens per second."""
    recipe = ladder.recipe.experiment(cell).as_seen_by(cell.contestant)
    cost = contestant_cost(recipe, cell.contestant, store)
    counted = cost.model_dump(exclude={"peak_memory_bytes", "decoding"})
    return CellCost(**cell._asdict(), **counted, tokens_per_second=speed)


@dataclasses.dataclass(kw_only=True)
class RungPlan:
    """What one size still costs on one setting."""

    setting: str
    size: str
    num_parameters: int  # of the plain backbone
    num_contestants: int = 0  # trained here
    num_runs: int = 0  # annealed runs, those of searches included
    tokens: float = 0.0  # trained on in all of these runs
    flops: float = 0.0  # of all of these runs
    hours: float = 0.0  # in one process of this machine, estimated from a few steps


def plan_ladder(
    ladder: Ladder,
    store: TokenStore,
    *,
    only: Sequence[str] | None = None,
    rounds: int = 2,
    console: Console | None = None,
) -> list[RungPlan]:
    """Count what is left to train, and time a few steps (`rounds`) of every contestant that is.

    Until a search ends, one rate is assumed for all budgets.
    """
    plans = []
    for plain, recipe in _rungs(ladder, only):
        plan = RungPlan(
            setting=plain.setting,
            size=plain.size,
            num_parameters=ladder.rung(plain).num_parameters,
        )
        plans.append(plan)
        left = {}
        for name in recipe.contestants:
            cell = plain._replace(contestant=name)
            units = ladder.unfinished_searches([cell] if cell in ladder.searches else [])
            left[name] = units + [each for each in ladder.units(cell) if not each.is_finished()]
        contestants = {name: each for name, each in recipe.contestants.items() if left[name]}
        if not contestants:
            continue
        planned = dataclasses.replace(recipe, contestants=contestants)
        clock = _time_rung(plain, planned, store, rounds=rounds, console=console)
        plan.num_contestants = len(contestants)
        for name, durations in clock.step_seconds.items():
            plan.num_runs += sum(len(unit.budgets) for unit in left[name])
            steps = sum(unit.num_steps for unit in left[name])
            tokens = steps * recipe.training.batch_size * recipe.backbone.context_length
            plan.tokens += tokens
            cost = cell_cost(ladder, store, plain._replace(contestant=name))
            plan.flops += tokens * cost.flops_per_token
            plan.hours += steps * statistics.median(durations) / 3600
    return plans
