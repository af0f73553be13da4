import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.analysis import estimate, first_crossing, speedup


def test_crossing_is_interpolated():
    losses, steps = [4.0, 3.0, 2.0, 1.9], [0, 100, 200, 300]
    assert first_crossing(losses, steps, 3.5) == 50
    assert first_crossing(losses, steps, 2.0) == 200
    assert first_crossing(losses, steps, 5.0) == 0
    assert first_crossing(losses, steps, 1.0) is None


def test_the_first_crossing_counts():
    assert first_crossing([4.0, 2.0, 3.0, 1.0], [0, 1, 2, 3], 2.5) == 0.75


def test_speedup_of_a_faster_and_a_slower_contestant():
    baseline = ([4.0, 3.0, 2.0], [0, 100, 200])
    faster = ([4.0, 2.0, 1.5], [0, 100, 200])
    assert speedup(baseline, faster) == 2
    assert speedup(faster, baseline) == 0.5
    assert speedup(baseline, baseline) == 1


def test_a_contestant_of_twice_the_cost_per_step():
    baseline = ([4.0, 3.0, 2.0], [0, 100, 200])
    assert speedup(baseline, ([4.0, 2.0, 1.5], [0, 200, 400])) == 1


def test_a_contestant_that_overfits_is_compared_at_its_lowest_loss():
    baseline = ([4.0, 3.0, 2.0, 1.0], [0, 100, 200, 300])
    assert speedup(baseline, ([4.0, 2.5, 2.0, 3.0], [0, 200, 400, 600])) == 0.5


def test_a_diverged_run_has_no_speedup():
    nan = math.nan
    assert math.isnan(speedup(([4.0, 2.0], [0, 1]), ([4.0, nan], [0, 1])))


@given(st.floats(0.1, 10), st.integers(2, 20))
def test_stretching_the_cost_scales_the_speedup(factor, num_points):
    losses = [5.0 - 4.0 * i / num_points for i in range(num_points + 1)]
    costs = list(range(num_points + 1))
    stretched = [cost * factor for cost in costs]
    assert speedup((losses, costs), (losses, stretched)) == pytest.approx(1 / factor)


def test_intervals():
    one, equal = estimate([1.5]), estimate([2.0, 2.0])
    assert (one.mean, one.low, one.high) == (1.5, None, None)
    assert (equal.mean, equal.low, equal.high) == (2, 2, 2)
    three = estimate([1.0, 2.0, 3.0])
    assert 1 <= three.low < three.mean == 2 < three.high <= 3
    assert estimate([1.0, 2.0, 3.0]) == three
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


def test_a_value_that_is_missing_leaves_no_interval():
    found = estimate([1.5, float("nan")])
    assert math.isnan(found.mean)
    assert found.low is None
    assert found.high is None
