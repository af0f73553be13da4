"""Laws and multipliers on losses whose law is known."""

import math

import numpy as np
import pytest

from latentwave.bench.ladder.laws import Law, fit_law
from latentwave.bench.ladder.multipliers import group_points, held_out_checks, multipliers_of
from latentwave.bench.ladder.results import CellCost, LadderPoint

TRUE = Law(
    irreducible=1.0, size_factor=20.0, size_exponent=0.35, token_factor=60.0, token_exponent=0.3
)
SIZES = {"s": 100_000, "m": 200_000, "l": 400_000, "xl": 800_000}
BUDGETS = (5, 10, 20, 40, 80)


def points(noise, seed=0):
    random = np.random.default_rng(seed)
    return [
        (N, budget * N, TRUE.loss(N, budget * N) * math.exp(random.normal(0, noise)))
        for N in SIZES.values()
        for budget in BUDGETS
    ]


def test_a_law_without_noise_is_recovered():
    law = fit_law(points(0.0))
    assert law.irreducible == pytest.approx(1.0, rel=1e-2)
    assert law.size_exponent == pytest.approx(0.35, rel=1e-2)
    assert law.token_exponent == pytest.approx(0.3, rel=1e-2)


def test_noise_moves_the_law_little_where_it_is_read():
    law = fit_law(points(0.001))
    for N in SIZES.values():
        assert law.loss(N, 30 * N) == pytest.approx(TRUE.loss(N, 30 * N), rel=2e-3)


def test_one_outlier_does_not_carry_the_law_away():
    off = points(0.0)
    off[7] = (off[7][0], off[7][1], off[7][2] * 1.2)
    law = fit_law(off)
    N = 400_000
    assert law.loss(N, 30 * N) == pytest.approx(TRUE.loss(N, 30 * N), rel=5e-3)


def test_one_size_has_a_floor_of_its_own():
    law = fit_law([point for point in points(0.0) if point[0] == 100_000])
    assert law.size_factor == 0
    assert law.loss(100_000, 3e6) == pytest.approx(TRUE.loss(100_000, 3e6), rel=1e-3)


def test_tokens_and_parameters_invert_the_loss():
    assert TRUE.tokens_for(1e5, TRUE.loss(1e5, 7e6)) == pytest.approx(7e6)
    assert TRUE.parameters_for(7e6, TRUE.loss(1e5, 7e6)) == pytest.approx(1e5)
    assert TRUE.tokens_for(1e5, 1.0) == math.inf


@pytest.mark.parametrize("count", [2, 4])
def test_too_few_points_are_refused(count):
    few = points(0.0)[:2] if count == 2 else points(0.0)[3:7]
    with pytest.raises(ValueError, match=f"got {count}"):
        fit_law(few)


def ladder(saved, noise, num_seeds=3, seed=0):
    """A contestant that needs 1/saved of the tokens; pairs share one part of the noise."""
    random = np.random.default_rng(seed)
    found = []
    for size, N in SIZES.items():
        for run in range(num_seeds):
            luck = random.normal(0, noise)
            for budget in BUDGETS:
                for name, factor in (("none", 1.0), ("it", saved)):
                    own = random.normal(0, noise / 3)
                    loss = TRUE.loss(N, budget * N * factor) + luck + own
                    found.append(
                        LadderPoint(
                            setting="strong",
                            size=size,
                            contestant=name,
                            seed=run,
                            budget=budget,
                            num_steps=1,
                            tokens=budget * N,
                            loss=loss,
                        )
                    )
    costs = [
        CellCost(
            setting="strong",
            size=size,
            contestant=name,
            num_parameters=N,
            num_mixer_parameters=0,
            flops_per_token=flops,
            tokens_per_second=speed,
        )
        for size, N in SIZES.items()
        for name, flops, speed in (("none", 100.0, 1000.0), ("it", 110.0, 900.0))
    ]
    return found, costs


def test_a_known_saving_is_found():
    found, costs = ladder(saved=1.5, noise=0.0)
    setting = group_points(found, costs)["strong"]
    for each in multipliers_of("strong", setting, costs, replicates=5):
        assert each.tokens.mean == pytest.approx(1.5, rel=0.03)
        assert each.flops.mean == pytest.approx(1.5 / 1.1, rel=0.03)
        assert each.seconds.mean == pytest.approx(1.5 * 0.9, rel=0.03)
        assert each.extrapolated == (each.budget == 80)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = []
    for seed in range(5):
        found, costs = ladder(saved=1.3, noise=0.004, seed=seed)
        setting = group_points(found, costs)["strong"]
        held += [
            each.tokens.low <= 1.3 <= each.tokens.high
            for each in multipliers_of("strong", setting, costs, replicates=60)
            if each.budget in (10, 20)
        ]
    assert 0.8 <= sum(held) / len(held) <= 1


def test_a_diverged_run_is_left_out():
    found, costs = ladder(saved=1.5, noise=0.0)
    lost = [p if (p.contestant, p.seed, p.size) != ("it", 0, "s") else _diverged(p) for p in found]
    setting = group_points(lost, costs)["strong"]
    by_size = {
        (m.size, m.budget): m.num_seeds
        for m in multipliers_of("strong", setting, costs, replicates=2)
    }
    assert by_size["s", 5] == 2
    assert by_size["m", 5] == 3


def _diverged(point):
    return LadderPoint(**{**vars(point), "loss": None})


def test_the_largest_budgets_are_predicted():
    found, costs = ladder(saved=1.5, noise=0.0)
    checks = held_out_checks("strong", group_points(found, costs)["strong"])
    assert {check.size for check in checks} == set(SIZES)
    for check in checks:
        assert check.budget == 80
        assert check.predicted == pytest.approx(check.measured, rel=2e-3)
