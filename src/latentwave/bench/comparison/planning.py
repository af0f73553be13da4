"""Plans a comparison's runs: each contestant's budget and the search for its learning rate."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentwave.bench.comparison.results import RateSearch
from latentwave.bench.comparison.workers import Job
from latentwave.bench.training import BASELINE, Recipe, read_result
from latentwave.errors import UserError

Losses = dict[str, dict[float, float]]
"""The worst seed's final loss by contestant and learning rate, in nats; NaN where it diverged."""


def check_baselines(recipe: Recipe) -> None:
    """Refuse a recipe without the plain backbone, or with a baseline that does not exist."""
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
        root = contestants[baseline].baseline
        if root not in (BASELINE, baseline):
            raise UserError(f"{against} is itself measured against {root!r}: use {root!r} for both")


def match_budget(recipe: Recipe, cost_per_step: Mapping[str, float]) -> Recipe:
    """Give every contestant as many steps as its baseline's budget pays for.

        num_steps = num_steps of the baseline · cost per step of the baseline ÷ own cost per step

    rounded to a multiple of evaluate_every_steps, at least one. A contestant's own num_steps are
    kept. Costs may be in any unit.

    Example:
        >>> from latentwave.bench.training import ContestantConfig
        >>> recipe = Recipe(
        ...     name="x", contestants={"none": ContestantConfig(), "dear": ContestantConfig()}
        ... )
        >>> matched = match_budget(recipe, {"none": 1.0, "dear": 3.0})
        >>> matched.contestants["none"].num_steps, matched.contestants["dear"].num_steps
        (1000, 300)
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


def comparison_jobs(recipe: Recipe, folder: Path) -> list[Job]:
    """The runs of a comparison, seed by seed: an interrupted one still has complete pairs."""
    return [
        Job(recipe=recipe, contestant=name, seed=seed, folder=folder / f"{name}-seed{seed}")
        for seed in recipe.seeds
        for name in recipe.contestants
    ]


def searched_rates(recipe: Recipe) -> dict[str, list[float]]:
    """The grid of each contestant whose learning rate is searched for."""
    rates = recipe.tuning.learning_rates
    names = [name for name, each in recipe.contestants.items() if each.learning_rate is None]
    return dict.fromkeys(names, rates) if rates else {}


def search_jobs(recipe: Recipe, rates: Mapping[str, Sequence[float]], folder: Path) -> list[Job]:
    """The runs of the search for learning rates, one per contestant, rate and seed."""
    tuning, jobs = recipe.tuning, []
    for name, rate in ((name, rate) for name, grid in rates.items() for rate in grid):
        contestant = recipe.contestants[name]
        steps = tuning.num_steps or contestant.num_steps
        contestant = dataclasses.replace(contestant, learning_rate=rate, num_steps=steps)
        trial = dataclasses.replace(
            recipe,
            contestants={name: contestant},
            seeds=tuning.seeds,
            tuning=dataclasses.replace(tuning, learning_rates=[], widen=0),
        )
        for seed in tuning.seeds:
            place = folder / f"{name}-lr{shortest(rate)}-seed{seed}"
            jobs.append(Job(recipe=trial, contestant=name, seed=seed, folder=place))
    return jobs


def worst_losses(jobs: Sequence[Job]) -> Losses:
    """The losses that finished runs of the search ended with."""
    worst: Losses = {}
    for job in jobs:
        rate = job.recipe.as_seen_by(job.contestant).training.learning_rate
        losses = worst.setdefault(job.contestant, {})
        loss = read_result(job.folder).final_loss
        losses[rate] = float(np.maximum(losses.get(rate, loss), loss))
    return worst


def rates_beyond(recipe: Recipe, losses: Losses) -> dict[str, list[float]]:
    """With `tuning.widen`: the next rate for each contestant whose best one is at an end."""
    most = len(recipe.tuning.learning_rates) + recipe.tuning.widen
    beyond = {name: rate_beyond(each) for name, each in losses.items() if len(each) < most}
    return {name: [rate] for name, rate in beyond.items() if rate is not None}


def rate_beyond(losses: Mapping[float, float]) -> float | None:
    """The next rate beyond the best of a grid, or None if the best does not lie at an end.

    `losses` are final losses by rate, not finite where a run diverged. The step is the ratio of the
    best rate to its neighbour.

    Example:
        >>> rate_beyond({1e-3: 2.5, 2e-3: 2.4, 4e-3: 2.3})
        0.008
    """
    rates = sorted(losses)
    if len(rates) < 2:
        return None
    best = best_rate(losses)
    neighbour = {rates[0]: rates[1], rates[-1]: rates[-2]}.get(best)
    return None if neighbour is None else float(f"{best * best / neighbour:.6g}")


def best_rate(losses: Mapping[float, float]) -> float:
    """The rate of the lowest final loss; the lowest rate if every run diverged.

    Example:
        >>> best_rate({1e-3: 2.5, 2e-3: 2.4, 4e-3: float("nan")})
        0.002
    """
    finite = [rate for rate in sorted(losses) if math.isfinite(losses[rate])]
    return min(finite, key=losses.__getitem__) if finite else min(losses)


def describe_choice(losses: Mapping[float, float]) -> dict[str, Any]:
    """A search as results record it: losses by rate, the best rate, whether that is at an end."""
    chosen = best_rate(losses)
    return {
        "losses": {shortest(rate): losses[rate] for rate in sorted(losses)},
        "chosen": chosen,
        "at_end_of_grid": chosen in (min(losses), max(losses)),
    }


def shortest(number: float) -> str:
    """A number in the fewest digits that tell it from all others, for names of folders.

    Example:
        >>> shortest(0.001), shortest(20.0), shortest(0.00100000001)
        ('0.001', '20', '0.00100000001')
    """
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def choose_rates(recipe: Recipe, losses: Losses) -> tuple[Recipe, dict[str, RateSearch]]:
    """Give every contestant of the search the learning rate whose worst seed ends lowest.

    Returns the recipe with the chosen rates, and a record of each contestant's search.
    """
    contestants, searches = dict(recipe.contestants), dict[str, RateSearch]()
    for name, by_rate in losses.items():
        contestant = contestants[name]
        steps = recipe.tuning.num_steps or contestant.num_steps or recipe.training.num_steps
        searches[name] = RateSearch(**describe_choice(by_rate), num_steps=steps)
        chosen = searches[name].chosen
        contestants[name] = dataclasses.replace(contestant, learning_rate=chosen)
    return dataclasses.replace(recipe, contestants=contestants), searches
