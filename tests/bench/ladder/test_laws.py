"""Laws, multipliers and the rule for a default, on losses whose law is known."""

import functools
import itertools
import math

import numpy as np
import pytest

from latentwave.bench.ladder.laws import fit_law
from latentwave.bench.ladder.multipliers import held_out_checks, multipliers_of, token_ratio
from latentwave.bench.ladder.promotion import promotions_of
from tests.bench.ladder.made_up import SIZES, TRUE, made_up

BUDGETS = (5, 10, 20, 40, 80)


def points(noise=0.0):
    random = np.random.default_rng(0)
    return [
        (N, budget * N, TRUE.loss(N, budget * N) * math.exp(random.normal(0, noise)))
        for N in SIZES.values()
        for budget in BUDGETS
    ]


def test_a_law_without_noise_is_recovered():
    law = fit_law(points())
    for name in ("irreducible", "size_exponent", "token_exponent"):
        assert getattr(law, name) == pytest.approx(getattr(TRUE, name), rel=1e-2)


def test_noise_and_one_outlier_move_the_law_little_where_it_is_read():
    off = points()
    off[7] = (off[7][0], off[7][1], off[7][2] * 1.2)
    for law, bound in ((fit_law(points(0.001)), 2e-3), (fit_law(off), 5e-3)):
        for N in SIZES.values():
            assert law.loss(N, 30 * N) == pytest.approx(TRUE.loss(N, 30 * N), rel=bound)


def test_one_size_has_a_floor_of_its_own():
    law = fit_law([point for point in points() if point[0] == 100_000])
    assert law.size_factor == 0
    assert law.loss(100_000, 3e6) == pytest.approx(TRUE.loss(100_000, 3e6), rel=1e-3)


def test_tokens_invert_the_loss():
    assert TRUE.tokens_for(1e5, TRUE.loss(1e5, 7e6)) == pytest.approx(7e6)
    assert TRUE.tokens_for(1e5, 1.0) == math.inf
    flat = TRUE.model_copy(update={"token_exponent": 0.02})
    assert flat.tokens_for(1e5, flat.floor(1e5) + 1e-6) == math.inf


@pytest.mark.parametrize(("few", "count"), [(slice(2), 2), (slice(3, 7), 4)])
def test_too_few_points_are_refused(few, count):
    with pytest.raises(ValueError, match=f"got {count}"):
        fit_law(points()[few])


def multipliers(saved, replicates, **options):
    setting, costs = made_up({"none": 1.0, "it": saved}, BUDGETS, **options)
    return setting, multipliers_of("strong", setting, costs, replicates=replicates)


def test_a_known_saving_is_found_and_the_largest_budgets_are_predicted():
    setting, found = multipliers(1.5, 5, costs=(110.0, 900.0))
    for each in found:
        assert each.tokens.mean == pytest.approx(1.5, rel=0.03)
        assert each.flops.mean == pytest.approx(1.5 / 1.1, rel=0.03)
        assert each.seconds.mean == pytest.approx(1.5 * 0.9, rel=0.03)
        assert each.extrapolated == (each.budget == 80)
    checks = held_out_checks("strong", setting)
    assert [(check.size, check.budget) for check in checks] == [(s, 80) for s in sorted(SIZES)]
    for check in checks:
        assert check.predicted == pytest.approx(check.measured, rel=2e-3)


def test_a_lucky_run_of_the_plain_decoder_measures_no_law():
    setting, costs = made_up({"none": 1.0, "it": 1.05}, BUDGETS)
    at_end = setting.losses["none"]["s", max(BUDGETS)]
    below_all_means = setting.losses["it"]["s", max(BUDGETS)]
    # One seed ends below the contestant, two as far above: the mean stays.
    at_end.update({0: at_end[0] - 0.1, 1: at_end[1] + 0.05, 2: at_end[2] + 0.05})
    assert min(at_end.values()) < min(below_all_means.values())
    found = multipliers_of("strong", setting, costs, replicates=2)
    assert [m.extrapolated for m in found if (m.size, m.budget) == ("s", max(BUDGETS))] == [True]


def test_without_a_law_nothing_is_extrapolated():
    setting, costs = made_up({"none": 1.0, "it": 1.5}, (20,))  # one run at each of four sizes
    found = multipliers_of("strong", setting, costs, replicates=2)
    assert [(each.tokens, each.extrapolated) for each in found] == [(None, False)] * len(SIZES)
    assert all(each.gain.mean > 0 for each in found)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = [
        each.tokens.low <= 1.3 <= each.tokens.high
        for seed in range(3)
        for each in multipliers(1.3, 24, luck=0.004, noise=0.004 / 3, seed=seed)[1]
        if each.budget in (10, 20)
    ]
    assert 0.8 <= sum(held) / len(held) <= 1


def test_the_plain_decoder_of_the_same_loss_is_found_among_the_sizes():
    _, found = multipliers(1.05, 5)
    known = {(m.size, m.budget): m.parameters for m in found}
    budgets = sorted({m.budget for m in found})
    # No size is larger than the largest, and no neighbour was trained to as few tokens.
    assert {at for at, value in known.items() if value is None} == {
        *(("xl", budget) for budget in budgets),
        *((size, budgets[0]) for size in SIZES),
    }
    for (size, budget), value in known.items():
        if value is not None:
            N = SIZES[size]
            gain = TRUE.loss(N, budget * N) - TRUE.loss(N, budget * N * 1.05)
            size_term = TRUE.size_factor * N**-TRUE.size_exponent
            larger = (1 - gain / size_term) ** (-1 / TRUE.size_exponent)
            assert value.mean - 1 == pytest.approx(larger - 1, rel=0.25)
            assert 1 < value.mean < 2


def test_a_diverged_run_is_left_out():
    _, found = multipliers(1.5, 2, lost=("it", 2, "s"))
    assert {m.size: m.num_seeds for m in found} == {"s": 2, "m": 3, "l": 3, "xl": 3}
    # Nor does its number of tokens count for the others.
    assert [m.tokens.mean for m in found] == pytest.approx([1.5] * len(found), rel=0.03)


@functools.cache
def promotion(*saved, control=1.0, speed=1000.0, lost=None, seeds=3, without_control=()):
    """The verdict on a contestant that needs 1/saved of the tokens at each size."""
    budgets = (5, 10, 20, 40)
    saved = {"none": 1.0, "control": control, "it": saved}
    how = {"noise": 0.0005, "costs": (100.0, speed), "lost": lost}
    setting, costs = made_up(saved, budgets, **how)
    found = multipliers_of("strong", setting, costs, replicates=8)
    runs = set(itertools.product(SIZES, budgets, range(seeds)))
    wanted = dict.fromkeys(saved, runs)
    wanted["control"] = {run for run in runs if run[0] not in without_control}
    for key in setting.losses["control"].keys() - {run[:2] for run in wanted["control"]}:
        del setting.losses["control"][key]
    controls = ["control", "control", "none", "elsewhere"]  # each counts once
    (only,) = promotions_of("strong", setting, found, controls, wanted)
    return only


def test_a_contestant_that_passes_every_check_is_promoted():
    found = promotion(*[1.5] * 4, control=1.2, speed=950.0)
    assert found.promoted
    assert found.saves.value.mean == pytest.approx(1.5 * 0.95, rel=0.1)
    assert found.beats_controls.where.startswith("control, ")
    assert found.lasts.value.low < 1 < found.lasts.value.high


def test_diverged_or_missing_runs_promote_nothing():
    diverged = promotion(*[1.5] * 4, control=1.2, lost=("it", 0, "l"))
    assert not diverged.saves.passed
    assert not diverged.promoted
    assert diverged.saves.where == "l at 5 diverged"
    partial = promotion(*[1.5] * 4, control=1.2, seeds=4)
    assert not partial.promoted
    # A fourth seed at four sizes and budgets, of it, the plain decoder and the control.
    assert partial.num_missing == 48


def test_a_control_that_is_not_trained_at_a_size_is_not_missing_there():
    found = promotion(*[1.5] * 4, control=1.2, speed=950.0, without_control=("xl",))
    assert found.num_missing == 0
    assert found.promoted


def test_a_law_above_the_plain_decoders_loss_says_nothing():
    law = TRUE.model_copy(update={"irreducible": 3.0})
    below, above = law.floor(1e5) - 0.1, law.floor(1e5) + 0.1
    assert math.isnan(token_ratio(law, 1e5, below, below - 0.1))
    assert token_ratio(law, 1e5, above, above) == 1
    assert token_ratio(law, 1e5, above, below) == math.inf


@pytest.mark.parametrize(
    ("saved", "how", "missed"),
    [
        ([1.5] * 4, {"speed": 600.0}, "saves"),
        ([1.5, 1.5, 0.95, 1.5], {}, "saves"),
        ([1.5] * 4, {"control": 1.6}, "beats_controls"),
        ([2.0, 1.8, 1.5, 1.2], {}, "lasts"),
    ],
)
def test_one_miss_is_enough(saved, how, missed):
    found = promotion(*saved, **how)
    assert not getattr(found, missed).passed
    assert found.saves.passed == (missed != "saves")
    assert found.measure == "seconds"
    assert not found.promoted


def test_tokens_alone_promote_nothing():
    found = promotion(*[1.5] * 4, speed=None)
    assert found.saves.passed
    assert found.lasts.passed
    assert not found.promoted
    assert found.measure == "tokens"
