"""The rule for a default, on ladders whose savings are known."""

import itertools

import numpy as np
import pytest

from latentwave.bench.ladder.multipliers import group_points, multipliers_of
from latentwave.bench.ladder.promotion import describe_promotion, promotions_of
from latentwave.bench.ladder.results import CellCost, LadderPoint
from tests.bench.ladder.test_laws import SIZES, TRUE

BUDGETS = (5, 10, 20, 40)


def promotion(saved, *, control=1.0, speed=1000.0, noise=0.0005):
    """What becomes of a contestant that needs 1/saved[size] of the tokens."""
    random = np.random.default_rng(0)
    factors = {"none": dict.fromkeys(SIZES, 1.0), "control": dict.fromkeys(SIZES, control)}
    factors["it"] = dict(zip(SIZES, saved, strict=True))
    points = [
        LadderPoint(
            setting="strong",
            size=size,
            contestant=name,
            seed=seed,
            budget=budget,
            num_steps=1,
            tokens=budget * N,
            loss=TRUE.loss(N, budget * N * factors[name][size]) + random.normal(0, noise),
        )
        for (size, N), seed, budget, name in itertools.product(
            SIZES.items(), range(3), BUDGETS, factors
        )
    ]
    costs = [
        CellCost(
            setting="strong",
            size=size,
            contestant=name,
            num_parameters=N,
            num_mixer_parameters=0,
            flops_per_token=100.0,
            tokens_per_second=speed and (1000.0 if name == "none" else speed),
        )
        for (size, N), name in itertools.product(SIZES.items(), factors)
    ]
    setting = group_points(points, costs)["strong"]
    multipliers = multipliers_of("strong", setting, costs, replicates=12)
    (found,) = promotions_of("strong", setting, multipliers, ["control", "not-run"])
    return found


def test_what_saves_lasts_and_beats_its_controls_is_promoted():
    found = promotion([1.5] * 4, control=1.2, speed=950.0)
    assert found.promoted
    assert found.saves.value.mean == pytest.approx(1.5 * 0.95, rel=0.1)
    assert found.beats_controls.where.startswith("control, ")
    assert found.lasts.value.low < 1 < found.lasts.value.high


@pytest.mark.parametrize(
    ("how", "missed"),
    [
        ({"saved": [1.5] * 4, "speed": 600.0}, "saves"),
        ({"saved": [1.5, 1.5, 0.95, 1.5]}, "saves"),
        ({"saved": [1.5] * 4, "control": 1.6}, "beats_controls"),
        ({"saved": [2.0, 1.8, 1.5, 1.2]}, "lasts"),
    ],
)
def test_one_miss_is_enough(how, missed):
    found = promotion(**how)
    assert not getattr(found, missed).passed
    assert not found.promoted
    assert f"not promoted; saves seconds: {'no' if missed == 'saves' else 'yes'} (least" in (
        describe_promotion(found)
    )


def test_tokens_alone_promote_nothing():
    found = promotion([1.5] * 4, speed=None)
    assert found.saves.passed
    assert found.lasts.passed
    assert not found.promoted
    assert describe_promotion(found).endswith("steps were not timed")
