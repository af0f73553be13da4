"""What each contestant of a comparison trains with: its budget and its learning rate."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from latentwave.bench.comparison.results import RateSearch
from latentwave.bench.training import BASELINE, Recipe
from latentwave.errors import UserError

FinalLosses = Mapping[tuple[str, float], Sequence[float]]
"""Losses of the search by contestant and rate, in nats, one per seed; NaN where one diverged."""


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


def searched_rates(recipe: Recipe) -> list[tuple[str, float]]:
    """The search for learning rates: every contestant without a rate, with all of the grid."""
    searched = [name for name, own in recipe.contestants.items() if own.learning_rate is None]
    return list(itertools.product(searched, recipe.tuning.learning_rates))


def rates_beyond(recipe: Recipe, final_losses: FinalLosses) -> list[tuple[str, float]]:
    """With `tuning.widen`: contestants whose best rate is at an end, and the next rate there."""
    found = []
    for name, losses in _by_contestant(final_losses).items():
        beyond = rate_beyond(losses)
        widened = len(losses) - len(recipe.tuning.learning_rates)
        if beyond is not None and widened < recipe.tuning.widen:
            found.append((name, beyond))
    return found


def rate_beyond(losses: Mapping[float, float]) -> float | None:
    """The next rate beyond the best of a grid, or None if that does not lie at an end.

    `losses` are final ones, not finite where a run diverged; the step is that from the rate beside.

    Example:
        >>> rate_beyond({1e-3: 2.5, 2e-3: 2.4, 4e-3: 2.3})
        0.008
    """
    rates = sorted(losses)
    if len(rates) < 2:
        return None
    best = best_rate(losses)
    place = rates.index(best)
    inner = {0: 1, len(rates) - 1: -2}.get(place)
    return None if inner is None else float(f"{best * best / rates[inner]:.6g}")


def best_rate(losses: Mapping[float, float]) -> float:
    """The rate of the lowest final loss; the lowest rate if every run diverged.

    Example:
        >>> best_rate({1e-3: 2.5, 2e-3: 2.4, 4e-3: float("nan")})
        0.002
    """
    finite = [rate for rate, loss in losses.items() if math.isfinite(loss)]
    return min(finite, key=losses.__getitem__) if finite else min(losses)


def tuning_recipes(
    recipe: Recipe, wanted: Sequence[tuple[str, float]]
) -> dict[tuple[str, float], Recipe]:
    """A recipe for the search's runs of every contestant and rate."""
    tuning = recipe.tuning
    return {
        (name, rate): dataclasses.replace(
            recipe,
            contestants={
                name: dataclasses.replace(
                    recipe.contestants[name],
                    learning_rate=rate,
                    num_steps=tuning.num_steps or recipe.contestants[name].num_steps,
                )
            },
            seeds=tuning.seeds,
            tuning=dataclasses.replace(tuning, learning_rates=[], widen=0),
        )
        for name, rate in wanted
    }


def choose_rates(recipe: Recipe, final_losses: FinalLosses) -> tuple[Recipe, dict[str, RateSearch]]:
    """Give every contestant of the search the learning rate whose worst seed ends lowest.

    Returns the recipe with a learning rate for each contestant, and what was found of each.
    """
    contestants, found = dict(recipe.contestants), dict[str, RateSearch]()
    for name, losses in _by_contestant(final_losses).items():
        contestant, rates = contestants[name], list(losses)
        chosen = best_rate(losses)
        contestants[name] = dataclasses.replace(contestant, learning_rate=chosen)
        found[name] = RateSearch(
            losses={f"{rate:g}": loss for rate, loss in losses.items()},
            chosen=chosen,
            at_end_of_grid=chosen in (rates[0], rates[-1]),
            num_steps=recipe.tuning.num_steps or contestant.num_steps or recipe.training.num_steps,
        )
    return dataclasses.replace(recipe, contestants=contestants), found


def _by_contestant(final_losses: FinalLosses) -> dict[str, dict[float, float]]:
    """The worst seed's loss by contestant and rate, rates ascending."""
    found: dict[str, dict[float, float]] = {}
    for (name, rate), losses in sorted(final_losses.items(), key=lambda item: item[0][1]):
        found.setdefault(name, {})[rate] = float(np.max(losses))
    return found
