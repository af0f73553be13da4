import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.bench.report.curves import find_crossing, loss_window, make_panel
from latentwave.bench.report.gaps import gap_window, make_gaps
from latentwave.bench.report.labels import place_labels, spread, stack_rows
from latentwave.bench.report.pareto import make_pareto
from latentwave.bench.report.ranking import best, slots
from tests.bench.report.made_up import FLOPS_PER_STEP, MANY, make_results

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


def boxes(places, sizes):
    return [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(places, sizes, strict=True)
    ]


def apart(a, b):
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("width", [40, 100, 400])
@pytest.mark.parametrize("seed", range(5))
def test_labels_of_thirty_marks_cover_nothing(seed, width):
    rng = random.Random(seed)  # in a column, as costs that are nearly equal put them, or all over
    marks = [(rng.uniform(10, 10 + width), rng.uniform(10, 310)) for _ in range(30)]
    sizes = [(14.0, 12.0)] * len(marks)
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in marks]
    placed = boxes(place_labels(marks, sizes, taken, (0, 0, 420, 320)), sizes)
    for a, b in itertools.combinations(placed, 2):
        assert apart(a, b)
    for label in placed:
        assert all(apart(label, mark) for mark in taken)
        assert min(label[:2]) >= 0
        assert label[2] <= 420
        assert label[3] <= 320


def test_of_many_contestants_the_best_five_are_in_colour():
    results = make_results(("none", *MANY, "wavelet"))
    places = slots(results)
    chosen = [name for name, slot in places.items() if slot is not None and slot >= 0]
    losses = {n: c["final_loss"]["mean"] for n, c in results["contestants"].items() if n != "none"}
    assert set(chosen) == set(sorted(losses, key=losses.__getitem__)[:5])
    assert sorted(places[name] for name in chosen) == list(range(5))
    assert places["none"] == -1
    # What is measured against is shown too, and so is what the headline is about.
    worst = max(losses, key=losses.__getitem__)
    results["contestants"]["wavelet"]["baseline"] = worst
    assert slots(results)[worst] is not None
    slowest = min(losses, key=losses.__getitem__)
    results["contestants"][slowest]["speedup"]["steps"]["mean"] = 0.1
    assert slots(results)[best(results)] is not None
    few = make_results(("none", "wavelet", "ema"))
    assert slots(few) == {"none": -1, "wavelet": 0, "ema": 1}


def test_every_mean_gap_is_inside_the_figure():
    results = make_results(("none", "wavelet", *MANY), seeds=(0, 1))
    early = results["contestants"]["wavelet"]["curve"][1]
    early["losses"] = [loss - 3.0 for loss in early["losses"]]
    panel = make_gaps(results)
    low, high = gap_window(panel)
    assert high > 3.0
    assert all(low < mean < high for gap in panel.gaps for mean in gap.mean)


def test_gaps_are_paired_at_equal_tokens():
    results = make_results(("none", "wavelet", "ema"), seeds=(0, 1, 2))
    contestants = results["contestants"]
    none, wavelet = (contestants[name]["curve"] for name in ("none", "wavelet"))
    panel = make_gaps(results)
    gap = panel.gaps[0]
    assert panel.label == "tokens trained on [millions]"
    for i, (a, b) in enumerate(zip(none, wavelet, strict=True)):
        pairs = [x - y for x, y in zip(a["losses"], b["losses"], strict=True)]
        assert gap.mean[i] == pytest.approx(sum(pairs) / 3)
        assert (gap.low[i], gap.high[i]) == pytest.approx((min(pairs), max(pairs)))
    assert gap.final == f"{contestants['wavelet']['gain']['mean']:+.3f}"
    # Half of the evaluations, and a run twice as long as its baseline.
    contestants["wavelet"]["curve"] = wavelet[::2]
    assert make_gaps(results).gaps[0].mean == pytest.approx(gap.mean[::2])
    contestants["none"]["curve"] = none[:11]
    assert make_gaps(results).gaps[0].x == gap.x[:11:2]
    # Against another baseline; none for one that is its own.
    contestants["ema"]["baseline"] = "ema"
    contestants["wavelet"]["baseline"] = "ema"
    (only,) = make_gaps(results).gaps
    end = [contestants[n]["curve"][-1]["losses"][0] for n in ("ema", "wavelet")]
    assert only.low[-1] <= end[0] - end[1] <= only.high[-1]


def test_the_front_is_what_nothing_beats():
    results = make_results(("none", "wavelet", "ema", "filterbank"), finals={"filterbank": 1.5})
    panel = make_pareto(results, "flops")
    assert [point.name for point in panel.front] == ["none", "wavelet", "filterbank"]
    assert all(point.named for point in panel.points)
    x, wavelet = panel.points[1].x, results["contestants"]["wavelet"]
    assert x == pytest.approx(wavelet["curve"][-1]["flops"] / 1e12)
    assert panel.points[1].low == wavelet["final_loss"]["low"]
    for contestant in results["contestants"].values():
        contestant["curve"][-1]["seconds"] = None
    assert make_pareto(results, "seconds") is None
    many = make_pareto(make_results(("none", *MANY)), "seconds")
    assert 5 < sum(point.named for point in many.points) < 12
    assert {p.name for p in many.front} <= {p.name for p in many.points if p.named}


def test_the_crossing_of_another_baseline_is_not_on_the_plain_one():
    results = make_results(("none", "wavelet", "ema"))
    results["contestants"]["wavelet"]["baseline"] = "ema"
    crossings = {c.name: c.crossing for c in make_panel(results, "steps").curves}
    assert crossings["wavelet"] is None
    assert crossings["ema"] is not None
