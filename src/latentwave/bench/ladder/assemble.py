"""From the folders of a ladder's runs to its results."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence

from rich.console import Console

from latentwave.bench.comparison.clock import (
    Clock,
    read_measured,
    take_clock,
    write_measured,
)
from latentwave.bench.comparison.cost import contestant_cost
from latentwave.bench.comparison.planning import best_rate
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.multipliers import (
    fit_means,
    group_points,
    held_out_checks,
    multipliers_of,
)
from latentwave.bench.ladder.promotion import Wanted, promotions_of
from latentwave.bench.ladder.recipe import Cell
from latentwave.bench.ladder.results import CellCost, LadderPoint, LadderResults, RateSearch
from latentwave.bench.training import Recipe, read_result
from latentwave.bench.training.files import RESULT
from latentwave.bench.training.progress import ERR

_CLOCK = "clock.json"


def assemble(ladder: Ladder, store: TokenStore, *, command: str = "") -> LadderResults:
    """Read the finished runs of a ladder, fit the laws, and put the numbers together.

    The store is its corpus; `command` is what was typed, for the record. Raises `UserError` for
    runs that are not those of the recipe.
    """
    points, environments = [], {}
    wanted: Wanted = {}
    for cell in ladder.cells():
        rung = ladder.rung(cell)
        units = {
            (unit.seed, budget): unit for unit in ladder.units(cell) for budget in unit.budgets
        }
        ends = wanted.setdefault(cell.setting, {}).setdefault(cell.contestant, set())
        ends |= {(cell.size, budget, seed) for seed, budget in units}
        if not ladder.is_searched(cell):
            continue
        for (seed, budget), unit in sorted(units.items(), key=lambda each: each[0]):
            run = unit.branch(budget)
            if not (run / RESULT).is_file():
                continue
            result = read_result(run)
            key = json.dumps(result.environment, sort_keys=True)
            environments[key] = result.environment
            point = LadderPoint(
                **cell._asdict(),
                seed=seed,
                budget=budget,
                factor=unit.factor,
                num_steps=rung.num_steps[budget],
                tokens=result.tokens,
                loss=result.final_loss,
            )
            points.append(point)
    measured = dict.fromkeys(Cell(p.setting, p.size, p.contestant) for p in points)
    for cell in measured:
        for unit in ladder.units(cell):
            unit.check(store)
    speeds = _speeds(ladder)
    costs = [cell_cost(ladder, store, cell, speeds.get(cell)) for cell in measured]
    laws, held_out, multipliers, promotions = {}, [], [], []
    for name, setting in group_points(points, costs).items():
        law = fit_means(setting)
        if law is not None:
            laws[name] = law
        held_out += held_out_checks(name, setting)
        own = multipliers_of(name, setting, costs)
        multipliers += own
        promotions += promotions_of(name, setting, own, ladder.recipe.controls, wanted[name])
    return LadderResults(
        recipe=ladder.recipe.to_dict(),
        command=command,
        environments=list(environments.values()),
        points=points,
        searches=_searches(ladder),
        costs=costs,
        laws=laws,
        held_out=held_out,
        multipliers=multipliers,
        promotions=promotions,
    )


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


def _speeds(ladder: Ladder) -> dict[Cell, float]:
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


def _searches(ladder: Ladder) -> list[RateSearch]:
    found = []
    for cell in filter(ladder.is_searched, ladder.searches):
        for budget, losses in ladder.search_losses(cell).items():
            chosen = best_rate(losses)
            search = RateSearch(
                **cell._asdict(),
                budget=budget,
                losses={f"{factor:g}": loss for factor, loss in losses.items()},
                chosen=chosen,
                at_end_of_grid=chosen in (min(losses), max(losses)),
            )
            found.append(search)
    return found
