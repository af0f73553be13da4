import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentwave.bench.comparison import (
    Estimate,
    compare_contestants,
    derive,
    first_crossing,
    highest_coverage,
    seeds_needed,
)
from latentwave.bench.comparison.statistics import estimate, estimate_ratio, speedup
from latentwave.errors import UserError
from tests.bench.comparison.made_up import made_up_results


@pytest.mark.parametrize(
    ("target", "cost"), [(3.5, 50), (2.0, 200), (5.0, 0), (1.95, 250), (1.0, None)]
)
def test_crossing_is_interpolated(target, cost):
    # The first crossing counts: the curve rises above 2 again.
    found = first_crossing([4.0, 3.0, 2.0, 1.9, 2.1], [0, 100, 200, 300, 400], target)
    assert found == (None if cost is None else pytest.approx(cost))


BASELINE = ([4.0, 3.0, 2.0], [0, 100, 200])


@pytest.mark.parametrize(
    ("losses", "costs", "wanted"),
    [
        ([4.0, 2.0, 1.5], [0, 100, 200], 2),
        ([4.0, 3.0, 2.0], [0, 100, 200], 1),
        ([4.0, 2.0, 1.5], [0, 200, 400], 1),  # twice the cost per step
        ([4.0, 2.5, 3.5], [0, 200, 400], 0.75),  # overfits: compared at its lowest loss
        ([4.0, 2.0, math.nan], [0, 100, 200], math.nan),
    ],
)
def test_speedup(losses, costs, wanted):
    assert speedup(BASELINE, (losses, costs)) == pytest.approx(wanted, nan_ok=True)


def test_intervals():
    assert estimate([1.5]) == Estimate(mean=1.5)
    assert estimate([2.0, 2.0]) == Estimate(mean=2.0, low=2.0, high=2.0)
    assert estimate([1.5, math.nan]) == Estimate(mean=None)
    three = estimate([1.0, 2.0, 3.0])
    assert 1 <= three.low < three.mean == 2 < three.high <= 3
    assert estimate([1.0, 2.0, 3.0]) == three


def test_intervals_are_over_pairs_so_that_the_luck_of_a_seed_cancels():
    # Seeds differ by a whole nat, pairs by a hundredth.
    finals = [1.0, 1.5, 2.0]
    own = {
        "none": [final + 0.10 + 0.01 * i for i, final in enumerate(finals)],
        "paired": finals,
        "unpaired": [finals[i] for i in (2, 0, 1)],
    }
    baseline, paired, unpaired = (c.curve for c in made_up_results(own).contestants.values())
    found = derive(paired, baseline, {"byte": 2.0})
    assert found["gain"].low == pytest.approx(0.10)
    assert found["gain"].high == pytest.approx(0.12)
    assert found["bits_per"]["byte"].mean == pytest.approx(1.5 / 2 / math.log(2))
    ratios = [(4 - f) / (4 - f - 0.10 - 0.01 * i) for i, f in enumerate(finals)]
    steps = found["speedup"].steps
    assert steps.mean == pytest.approx(math.exp(np.log(ratios).mean()))
    assert steps.low == pytest.approx(min(ratios))
    assert steps.high == pytest.approx(max(ratios))
    # With other pairs the same numbers say nothing: the sign depends on luck.
    gain = derive(unpaired, baseline, {})["gain"]
    assert gain.low < 0 < gain.high


@settings(max_examples=20)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=4))
def test_the_mean_of_inverse_ratios_is_the_inverse_mean(ratios):
    ratio, inverse = estimate_ratio(ratios), estimate_ratio([1 / r for r in ratios])
    assert ratio.mean == pytest.approx(1 / inverse.mean)
    if ratio.low is not None:
        # The resamples are the same, but percentiles of 9,999 are not quite symmetric.
        assert ratio.low == pytest.approx(1 / inverse.high, rel=0.02)
        assert min(ratios) * (1 - 1e-9) <= ratio.low <= ratio.high <= max(ratios) * (1 + 1e-9)


def test_ratios_without_a_logarithm():
    assert estimate_ratio([0.0, 2.0]) == Estimate(mean=0.0)
    assert estimate_ratio([math.nan, 2.0]) == Estimate(mean=None)
    assert estimate_ratio([math.nan, 0.0]) == estimate_ratio([0.0, math.nan]) == Estimate(mean=None)


@pytest.mark.parametrize("num_seeds", [3, 6])
def test_no_interval_covers_more_often_than_few_seeds_can(num_seeds):
    rng = np.random.default_rng(num_seeds)
    repeats = 100
    estimates = [estimate(rng.normal(size=num_seeds).tolist()) for _ in range(repeats)]
    covered = sum(e.low <= 0 <= e.high for e in estimates) / repeats
    best = highest_coverage(num_seeds)
    assert covered <= best + 3 * math.sqrt(best * (1 - best) / repeats)
    if num_seeds <= 3:  # there the interval is the whole range, so the bound is met
        assert covered == pytest.approx(best, abs=0.13)


@pytest.mark.parametrize("confidence", [0.5, 0.75, 0.9, 0.95, 0.99])
def test_the_fewest_seeds_for_a_confidence(confidence):
    num_seeds = seeds_needed(confidence)
    assert highest_coverage(num_seeds - 1) < confidence <= highest_coverage(num_seeds)


def test_two_contestants_are_compared_seed_by_seed():
    losses = {
        "none": [4.0] * 3,
        "a": [1.0, 2.0, 3.0],
        "b": [0.9, 1.8, 2.9],
        "gone": [1.0, None, 2.0],
    }
    results = made_up_results(losses)
    gain = compare_contestants(results, "a", "b")
    assert (gain.low, gain.mean, gain.high) == pytest.approx((0.1, 0.4 / 3, 0.2))
    assert compare_contestants(results, "b", "a").mean == pytest.approx(-0.4 / 3)
    assert compare_contestants(results, "a", "gone").mean is None
    with pytest.raises(UserError, match="no contestant 'c', only none, a, b, gone"):
        compare_contestants(results, "a", "c")
