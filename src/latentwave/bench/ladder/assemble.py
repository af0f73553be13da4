"""Collects a ladder's finished runs into its results."""

import json

from latentwave.bench.comparison.planning import describe_choice
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.costs import cell_cost, timed_speeds
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.multipliers import (
    fit_means,
    group_points,
    held_out_checks,
    multipliers_of,
)
from latentwave.bench.ladder.promotion import Wanted, promotions_of
from latentwave.bench.ladder.recipe import Cell
from latentwave.bench.ladder.results import LadderPoint, LadderResults, RateSearch
from latentwave.bench.training import read_result
from latentwave.bench.training.files import RESULT


def assemble(ladder: Ladder, store: TokenStore, *, command: str = "") -> LadderResults:
    """Read the finished runs of a ladder, fit the laws, and put the numbers together.

    The store is the ladder's corpus; `command` is recorded as it was typed. Raises `UserError` for
    runs of another recipe.
    """
    points, environments = [], {}
    wanted: Wanted = {}
    for cell in ladder.cells():
        rung, factors = ladder.rung(cell), ladder.factors(cell)
        units = {
            (unit.seed, budget): unit for unit in ladder.units(cell) for budget in unit.budgets
        }
        ends = wanted.setdefault(cell.setting, {}).setdefault(cell.contestant, set())
        ends |= {(cell.size, budget, seed) for seed, budget in units}
        for (seed, budget), unit in sorted(units.items(), key=lambda each: each[0]):
            run = unit.branch(budget)
            if not (budget in factors and (run / RESULT).is_file()):
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
    for unit in (unit for cell in measured for unit in ladder.units(cell)):
        unit.check(store)
    speeds = timed_speeds(ladder)
    costs = [cell_cost(ladder, store, cell, speeds.get(cell)) for cell in measured]
    laws, held_out, multipliers, promotions = {}, [], [], []
    for name, setting in group_points(points, costs).items():
        law = fit_means(setting)
        if law is not None:
            laws[name] = law
        held_out += held_out_checks(name, setting)
        found = multipliers_of(name, setting, costs)
        multipliers += found
        promotions += promotions_of(name, setting, found, ladder.recipe.controls, wanted[name])
    return LadderResults(
        recipe=ladder.recipe.to_dict(),
        command=command,
        environments=list(environments.values()),
        points=points,
        searches=[
            RateSearch(**cell._asdict(), budget=budget, **describe_choice(losses))
            for cell in ladder.searches
            for budget, losses in ladder.search_losses(cell).items()
        ],
        costs=costs,
        laws=laws,
        held_out=held_out,
        multipliers=multipliers,
        promotions=promotions,
    )
