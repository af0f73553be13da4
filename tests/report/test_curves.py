import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.report.curves import find_crossing, loss_window, make_panel, spread, stack_rows
from tests.report.made_up import FLOPS_PER_STEP, make_results

PLACES = st.floats(-50, 150, allow_nan=False)


@given(st.lists(PLACES, min_size=1, max_size=12))
def test_spread_keeps_order_gap_and_bounds(positions):
    placed = spread(positions, 7.0, 0.0, 100.0)
    gap = min(7.0, 100.0 / max(len(positions) - 1, 1))
    in_order = [
        place for _, _, place in sorted(zip(positions, range(len(positions)), placed, strict=True))
    ]
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(in_order))
    assert min(placed) >= -1e-9
    assert max(placed) <= 100 + 1e-9


def test_spread_leaves_what_is_apart_alone():
    assert spread([50.0, 10.0, 90.0], 7.0, 0.0, 100.0) == [50.0, 10.0, 90.0]


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(1, 90)), max_size=8))
def test_no_line_of_a_crossing_cuts_a_label(marks):
    starts, widths = [m[0] for m in marks], [m[1] for m in marks]
    rows = stack_rows(starts, widths)
    for i in range(len(marks)):
        for j in range(len(marks)):
            # i's line runs down to its row; j's label must not lie across it above that row.
            if starts[j] < starts[i] < starts[j] + widths[j]:
                assert rows[j] < rows[i]


def test_units_suit_the_extent():
    results = make_results()
    assert make_panel(results, "steps").label == "optimiser steps"
    flops = make_panel(results, "flops")
    assert flops.label == "training compute [TFLOP]"
    assert flops.curves[0].x[-1] == pytest.approx(500 * FLOPS_PER_STEP / 1e12)
    assert make_panel(results, "seconds").label == "training time [s]"
    for point in results["contestants"]["wavelet"]["curve"]:
        point["seconds"] *= 100
    panel = make_panel(results, "seconds")
    assert panel.label == "training time [h]"
    assert panel.curves[1].x[-1] == pytest.approx(100 * 500 * 0.19 / 0.962 / 3600)


def test_the_crossing_is_on_the_mean_curve():
    panel = make_panel(make_results(), "steps")
    baseline, wavelet = panel.curves
    assert baseline.crossing is None
    assert wavelet.crossing == find_crossing(wavelet.x, wavelet.loss, panel.target)
    assert 150 < wavelet.crossing < 250
    assert wavelet.speedup == "2.7×"


def test_what_did_not_reach_is_not_marked():
    results = make_results()
    results["contestants"]["wavelet"]["reached"] = False
    assert make_panel(results, "steps").curves[1].crossing is None


def test_missing_points_are_left_out_and_missing_measures_have_no_panel():
    results = make_results()
    curve = results["contestants"]["wavelet"]["curve"]
    curve[3]["loss"] = None
    curve[4]["losses"] = [None, 2.0]
    for contestant in results["contestants"].values():
        for point in contestant["curve"]:
            point["seconds"] = None
    panel = make_panel(results, "steps")
    assert len(panel.curves[1].x) == len(curve) - 1
    assert loss_window(panel)[0] > 0
    assert make_panel(results, "seconds") is None


def test_the_window_leaves_out_the_steep_start_but_never_the_end():
    results = make_results(finals={"wavelet": 3.9})
    panel = make_panel(results, "steps")
    low, high, clipped = loss_window(panel)
    assert clipped
    assert low <= min(min(c.loss) for c in panel.curves)
    assert high >= max(c.loss[-1] for c in panel.curves)
    assert high < panel.curves[0].loss[0]
