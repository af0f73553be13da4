"""What a ladder would cost, before anything runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from rich.console import Console

from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.assemble import cell_cost, time_rung, trained_rungs
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.recipe import Cell
from latentwave.bench.training import BASELINE


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
