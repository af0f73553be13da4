"""Ladders whose law and savings are known."""

import itertools

import numpy as np

from latentwave.bench.ladder.laws import Law
from latentwave.bench.ladder.multipliers import group_points
from latentwave.bench.ladder.results import CellCost, LadderPoint

TRUE = Law(
    irreducible=1.0, size_factor=20.0, size_exponent=0.35, token_factor=60.0, token_exponent=0.3
)
SIZES = {"s": 100_000, "m": 200_000, "l": 400_000, "xl": 800_000}


def made_up(saved, budgets, *, noise=0.0, luck=0.0, seed=0, costs=(100.0, 1000.0), lost=None):
    """Runs and costs of contestants that need 1/saved[name] of the tokens, overall or by size.

    Runs of one seed and size share the noise `luck`. `costs` are FLOPs per token and tokens per
    second of all contestants but "none". The run `lost` (name, seed, size) diverged after a token
    per parameter.
    """
    random = np.random.default_rng(seed)
    points, prices = [], []
    for (size, N), run in itertools.product(SIZES.items(), range(3)):
        shared = random.normal(0, luck)
        for budget, (name, by) in itertools.product(budgets, saved.items()):
            factor = by if isinstance(by, float) else by[list(SIZES).index(size)]
            loss = TRUE.loss(N, budget * N * factor) + shared + random.normal(0, noise)
            diverged = (name, run, size) == lost
            end = {"tokens": N, "loss": None} if diverged else {"tokens": budget * N, "loss": loss}
            cell = {"setting": "strong", "size": size, "contestant": name}
            run_of = {"seed": run, "budget": budget, "factor": 1.0, "num_steps": 1}
            points.append(LadderPoint(**cell, **run_of, **end))
    for (size, N), name in itertools.product(SIZES.items(), saved):
        flops, speed = (100.0, costs[1] and 1000.0) if name == "none" else costs
        price = CellCost(
            setting="strong",
            size=size,
            contestant=name,
            num_parameters=N,
            num_mixer_parameters=0,
            flops_per_token=flops,
            tokens_per_second=speed,
        )
        prices.append(price)
    return group_points(points, prices)["strong"], prices
