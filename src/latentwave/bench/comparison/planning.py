"""What each contestant of a comparison trains with: its budget and its learning rate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from latentwave.bench.comparison.results import RateSearch
from latentwave.bench.training import BASELINE, Recipe
from latentwave.errors import UserError


def check_baselines(recipe: Recipe) -> None:
    """Refuse a recipe without the plain backbone, or with baselines that are not there."""
    contestants = recipe.contestants
    names = ", ".join(contestants)
    if BASELINE not in contestants:
        raise UserError(
            f"a comparison needs the plain backbone as contestant {BASELINE!r}, the recipe has "
            f"{names}"
        )
    if contestants[BASELINE].placed or contestants[BASELINE].backbone:
        raise UserError(f"contestant {BASELINE!r} is the plain backbone and must have no mixer")
    for name, contestant in contestants.items():
        baseline = contestant.baseline
        against = f"contestant {name!r} is measured against {baseline!r}, which"
        if baseline not in contestants:
            raise UserError(f"{against} the recipe does not have; it has {names}")
        own = contestants[baseline].baseline
        if own not in (BASELINE, baseline):
            raise UserError(f"{against} is itself measured against {own!r}: name {own!r} for both")


def match_budget(recipe: Recipe, cost_per_step: Mapping[str, float]) -> Recipe:
    """Give every contestant as many steps as its baseline's budget pays for.

        num_steps = num_steps of the baseline · cost per step of the baseline ÷ own

    rounded to whole evaluations, at least one. A contestant that names its own num_steps keeps
    them. Costs are in any one unit.

    Example:
        >>> from latentwave.bench.training import ContestantConfig
        >>> recipe = Recipe(
        ...     name="x", contestants={"none": ContestantConfig(), "dear": ContestantConfig()}
        ... )
        >>> matched = match_budget(recipe, {"none": 1.0, "dear": 3.0})
        >>> matched.contestants["none"].num_steps, matched.contestants["dear"].num_steps
        (1000, 350)
    """
    every = recipe.training.evaluate_every_steps

    def steps(name: str) -> int:
        contestant = recipe.contestants[name]
        if contestant.num_steps is not None:
            return contestant.num_steps
        if contestant.baseline == name:
            return recipe.training.num_steps
        baseline = contestant.baseline
        paid = steps(baseline) * cost_per_step[baseline] / cost_per_step[name]
        return max(1, round(paid / every)) * every

    matched = {
        name: dataclasses.replace(contestant, num_steps=steps(name))
        for name, contestant in recipe.contestants.items()
    }
    return dataclasses.replace(recipe, contestants=matched)


def tuning_recipes(recipe: Recipe) -> dict[tuple[str, float], Recipe]:
    """The search for learning rates: a recipe for every contestant without a rate, and rate."""
    tuning = recipe.tuning
    return {
        (name, rate): dataclasses.replace(
            recipe,
            contestants={
                name: dataclasses.replace(
                    contestant,
                    learning_rate=rate,
                    num_steps=tuning.num_steps or contestant.num_steps,
                )
            },
            seeds=tuning.seeds,
            tuning=dataclasses.replace(tuning, learning_rates=[]),
        )
        for name, contestant in recipe.contestants.items()
        if contestant.learning_rate is None
        for rate in tuning.learning_rates
    }


def choose_rates(
    recipe: Recipe, final_losses: Mapping[tuple[str, float], Sequence[float]]
) -> tuple[Recipe, dict[str, RateSearch]]:
    """Give every contestant of the search the learning rate whose worst seed ends lowest.

    `final_losses` are those of a contestant with a rate, in nats, one per seed of the search; NaN
    where one diverged. Returns the recipe with a learning rate for each contestant, and what was
    found of each.
    """
    rates = recipe.tuning.learning_rates
    contestants, found = dict(recipe.contestants), dict[str, RateSearch]()
    for name in dict.fromkeys(name for name, _ in final_losses):
        contestant = contestants[name]
        losses = {rate: float(np.max(final_losses[name, rate])) for rate in rates}
        finite = {rate: loss for rate, loss in losses.items() if math.isfinite(loss)}
        if not finite:
            raise UserError(
                f"contestant {name!r} diverged with every learning rate of the grid {rates}: add "
                "lower ones to tuning.learning_rates"
            )
        chosen = min(finite, key=finite.__getitem__)
        contestants[name] = dataclasses.replace(contestant, learning_rate=chosen)
        found[name] = RateSearch(
            losses={f"{rate:g}": loss for rate, loss in losses.items()},
            chosen=chosen,
            at_end_of_grid=chosen in (rates[0], rates[-1]),
            num_steps=recipe.tuning.num_steps or contestant.num_steps or recipe.training.num_steps,
        )
    return dataclasses.replace(recipe, contestants=contestants), found
