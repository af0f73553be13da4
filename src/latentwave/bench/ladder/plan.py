"""What a ladder would cost, before anything runs."""

from __future__ import annotations

import dataclasses
import statistics

from latentwave.bench.comparison.clock import measure_step_seconds
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.assemble import cell_cost, with_all_contestants
from latentwave.bench.ladder.run import Ladder


@dataclasses.dataclass(frozen=True, kw_only=True)
class RungPlan:
    """One size on one setting.

    Attributes:
        setting: how it is trained.
        size: its rung.
        num_parameters: of the plain backbone.
        num_contestants: that are trained.
        num_runs: ends of training, searches included.
        tokens: trained on, over all of these runs.
        flops: of them.
        hours: of them on one process of this machine, by a few steps of each contestant.
    """

    setting: str
    size: str
    num_parameters: int
    num_contestants: int
    num_runs: int
    tokens: float
    flops: float
    hours: float


def plan_ladder(ladder: Ladder, store: TokenStore, *, rounds: int = 2) -> list[RungPlan]:
    """Count what is to be trained, and time a few steps of every contestant.

    Args:
        ladder: what is trained; searches that its folder holds already count nothing.
        store: its corpus.
        rounds: steps that are timed.
    """
    plans = []
    searches = ladder.searches()
    for setting in ladder.recipe.settings:
        for size, rung in ladder.rungs.items():
            recipe = with_all_contestants(ladder, setting, size)
            if recipe is None:
                continue
            timed = measure_step_seconds(recipe, store, rounds=rounds)
            per_step = recipe.training.batch_size * recipe.backbone.context_length
            runs, tokens, flops, seconds = 0, 0.0, 0.0, 0.0
            for name, durations in timed.items():
                cell = (setting, size, name)
                # All branches but the last leave the trunk before its end.
                steps = rung.branch_steps[-1] + sum(
                    end - start
                    for end, start in zip(rung.num_steps, rung.branch_steps, strict=True)
                )
                seeds = len(ladder.recipe.sizes[size].seeds)
                count, total = seeds * len(rung.budgets), seeds * steps
                if cell in searches and not searches[cell].is_finished():
                    search = searches[cell].runs
                    count += len(search)
                    total += sum(values["training"]["num_steps"] for _, values, _ in search)
                cost = cell_cost(ladder, store, cell)
                runs += count
                tokens += total * per_step
                flops += total * per_step * cost.flops_per_token
                seconds += total * statistics.median(durations)
            plans.append(
                RungPlan(
                    setting=setting,
                    size=size,
                    num_parameters=rung.num_parameters,
                    num_contestants=len(timed),
                    num_runs=runs,
                    tokens=tokens,
                    flops=flops,
                    hours=seconds / 3600,
                )
            )
    return plans
