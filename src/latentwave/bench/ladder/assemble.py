"""From the folders of a ladder's runs to its results."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from typing import Any

from latentwave.bench.comparison import measure_cost
from latentwave.bench.comparison.clock import Clock, OtherLoad, measure_step_seconds
from latentwave.bench.data import TokenStore
from latentwave.bench.data.json_files import read_json
from latentwave.bench.ladder.laws import Law
from latentwave.bench.ladder.multipliers import (
    fit_means,
    group_points,
    held_out_checks,
    multipliers_of,
)
from latentwave.bench.ladder.promotion import promotions_of
from latentwave.bench.ladder.results import CellCost, LadderPoint, LadderResults, RateSearch
from latentwave.bench.ladder.run import Cell, Ladder, branch_name
from latentwave.bench.training import Recipe, describe_environment, open_objective, read_result
from latentwave.bench.training.files import write_json

CLOCK = "clock.json"


def assemble(ladder: Ladder, store: TokenStore, *, command: str = "") -> LadderResults:
    """Read all finished runs, fit the laws, and put the numbers together.

    Args:
        ladder: whose folder may hold a part of its runs.
        store: its corpus.
        command: what was typed, for the record.
    """
    points, environments = [], []
    for cell in ladder.cells():
        rung = ladder.rungs[cell[1]]
        for seed in ladder.recipe.sizes[cell[1]].seeds:
            for budget, steps in zip(rung.budgets, rung.num_steps, strict=True):
                run = ladder.seed_folder(cell, seed) / branch_name(budget)
                if not (run / "result.json").is_file():
                    continue
                result = read_result(run)
                environments.append(result.environment)
                points.append(
                    LadderPoint(
                        setting=cell[0],
                        size=cell[1],
                        contestant=cell[2],
                        seed=seed,
                        budget=budget,
                        num_steps=steps,
                        tokens=result.tokens,
                        loss=result.final_loss if math.isfinite(result.final_loss) else None,
                    )
                )
    measured = list(dict.fromkeys((p.setting, p.size, p.contestant) for p in points))
    speeds = _speeds(ladder)
    costs = [cell_cost(ladder, store, cell, speeds.get(cell)) for cell in measured]
    laws: dict[str, Law] = {}
    held_out, multipliers, promotions = [], [], []
    for name, setting in group_points(points, costs).items():
        law = fit_means(setting)
        if law is not None:
            laws[name] = law
        held_out += held_out_checks(name, setting)
        own = multipliers_of(name, setting, costs)
        multipliers += own
        promotions += promotions_of(name, setting, own, ladder.recipe.controls)
    return LadderResults(
        recipe=ladder.recipe.to_dict(),
        command=command,
        environments=_each_once(environments),
        points=points,
        searches=_searches(ladder),
        costs=costs,
        laws=laws,
        held_out=held_out,
        multipliers=multipliers,
        promotions=promotions,
    )


def time_steps(ladder: Ladder, store: TokenStore, sizes: Iterable[str] | None = None) -> None:
    """Time the training steps of all contestants of a size in turn, and keep the durations.

    Nothing else should run meanwhile. What is kept stands in clock.json of the ladder's folder.
    """
    path = ladder.folder / CLOCK
    known: dict[str, Any] = read_json(path, "delete it and time again") if path.is_file() else {}
    for setting in ladder.recipe.settings:
        for size in sizes or ladder.recipe.sizes:
            recipe = with_all_contestants(ladder, setting, size)
            if recipe is None:
                continue
            load = OtherLoad()
            seconds = measure_step_seconds(recipe, store)
            clock = Clock(
                step_seconds=seconds, busy_cores=load.cores(), environment=describe_environment()
            )
            known[f"{setting}/{size}"] = dataclasses.asdict(clock)
            ladder.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, known)


def with_all_contestants(ladder: Ladder, setting: str, size: str) -> Recipe | None:
    """One recipe for all contestants of a rung; None where nothing is trained."""
    cells = [cell for cell in ladder.cells([size]) if cell[0] == setting]
    if not cells:
        return None
    recipes = [ladder.recipe.experiment(*cell) for cell in cells]
    contestants = {name: own for each in recipes for name, own in each.contestants.items()}
    return dataclasses.replace(recipes[0], contestants=contestants)


def _speeds(ladder: Ladder) -> dict[Cell, float]:
    path = ladder.folder / CLOCK
    if not path.is_file():
        return {}
    speeds = {}
    for place, values in read_json(path, "delete it and time again").items():
        setting, _, size = place.partition("/")
        clock = Clock(**values)
        for name in clock.step_seconds:
            own = ladder.recipe.experiment(setting, size, name)
            tokens = own.training.batch_size * own.backbone.context_length
            speeds[setting, size, name] = tokens / clock.seconds_per_step(name)
    return speeds


def cell_cost(
    ladder: Ladder, store: TokenStore, cell: Cell, speed: float | None = None
) -> CellCost:
    """What a contestant costs at one size; `speed` is in tokens per second."""
    recipe = ladder.recipe.experiment(*cell)
    objective = open_objective(recipe, store)
    inputs, num_tokens = objective.one_item()
    cost = measure_cost(objective.build(recipe.contestants[cell[2]], seed=0), num_tokens, inputs)
    return CellCost(
        setting=cell[0],
        size=cell[1],
        contestant=cell[2],
        num_parameters=cost.num_parameters,
        num_mixer_parameters=cost.num_mixer_parameters,
        flops_per_token=cost.flops_per_token,
        tokens_per_second=speed,
    )


def _searches(ladder: Ladder) -> list[RateSearch]:
    found = []
    factors = ladder.recipe.search.factors
    for cell, unit in ladder.searches().items():
        if len(factors) == 1 or not unit.is_finished():
            continue
        chosen = ladder.factor(cell)
        found.append(
            RateSearch(
                setting=cell[0],
                size=cell[1],
                contestant=cell[2],
                losses={
                    f"{factor:g}": loss if math.isfinite(loss) else None
                    for factor, loss in ladder.search_losses(cell).items()
                },
                chosen=chosen,
                at_end_of_grid=chosen in (factors[0], factors[-1]),
            )
        )
    return found


def _each_once(environments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(each, sort_keys=True): each for each in environments}.values())
