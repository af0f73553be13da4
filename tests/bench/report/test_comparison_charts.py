import pytest

from latentwave.bench.comparison import first_crossing
from latentwave.bench.report.charts import BASELINE_SLOT
from latentwave.bench.report.comparison_charts import (
    comparison_charts,
    gap_chart,
    loss_chart,
    pareto_chart,
)
from latentwave.bench.report.headline import best, slots
from tests.bench.report.made_up import FLOPS_PER_STEP, MANY, make_results, make_values, typed


def named(chart):
    """The series that stand in the legend, by the first word."""
    return {series.name.split()[0]: series for series in chart.series if series.name}


def dots(chart):
    return [series for series in chart.series if series.points and not series.line]


def test_units_suit_the_extent():
    values = make_values()
    results = typed(values)
    assert loss_chart(results, "steps").x.label == "optimizer steps"
    flops = loss_chart(results, "flops")
    assert flops.x.label == "training compute [TFLOP]"
    assert flops.x.window[1] == pytest.approx(1.0004 * 500 * FLOPS_PER_STEP / 1e12)
    assert loss_chart(results, "seconds").x.label == "training time [s]"
    for point in values["contestants"]["wavelet"]["curve"]:
        point["seconds"] *= 100
    chart = loss_chart(typed(values), "seconds")
    assert chart.x.label == "training time [h]"
    assert named(chart)["wavelet"].x[-1] == pytest.approx(100 * 500 * 0.19 / 0.962 / 3600)


def test_the_crossing_is_on_the_mean_curve():
    chart = loss_chart(make_results(), "steps")
    wavelet = named(chart)["wavelet"]
    (dot,) = dots(chart)
    assert dot.x == [first_crossing(list(wavelet.y), list(wavelet.x), chart.level)]
    assert (dot.y, dot.slot, wavelet.detail) == ([chart.level], wavelet.slot, "2.7×")
    assert 150 < dot.x[0] < 250


@pytest.mark.parametrize("change", [{"reached": False}, {"baseline": "ema"}])
def test_what_does_not_reach_the_plain_baseline_is_not_marked(change):
    values = make_values(("none", "wavelet", "ema"))
    values["contestants"]["wavelet"] |= change
    chart = loss_chart(typed(values), "steps")
    assert len(dots(chart)) == 1
    assert (named(chart)["wavelet"].detail, named(chart)["ema"].detail != "") == ("", True)


def test_missing_points_are_left_out_and_missing_measures_have_no_chart():
    values = make_values()
    curve = values["contestants"]["wavelet"]["curve"]
    curve[3]["loss"] = None
    curve[4]["losses"] = [None, 2.0]
    for contestant in values["contestants"].values():
        for point in contestant["curve"]:
            point["seconds"] = None
    results = typed(values)
    assert len(named(loss_chart(results, "steps"))["wavelet"].x) == len(curve) - 1
    assert len(named(gap_chart(results))["wavelet"].x) == len(curve) - 1
    assert loss_chart(results, "seconds") is pareto_chart(results, "seconds") is None
    assert {grid.name for grid in comparison_charts(results)} == {*("loss", "gap", "pareto")}


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_short_and_diverged_curves_have_what_can_be_drawn(kept):
    values = make_values(("none", "wavelet", "ema"))
    for point in values["contestants"]["wavelet"]["curve"][kept:]:
        point |= {"loss": None, "losses": [None, None]}
    for key in ("final_loss", "gain"):
        values["contestants"]["wavelet"][key]["mean"] = None
    results = typed(values)
    assert "ema" in named(loss_chart(results, "steps"))
    assert "wavelet" not in named(pareto_chart(results, "flops"))
    for contestant in values["contestants"].values():
        contestant["curve"] = contestant["curve"][:1]
        contestant["final_loss"]["mean"] = None
    assert comparison_charts(typed(values)) == []


def test_the_window_leaves_out_the_steep_start_but_never_the_end():
    chart = loss_chart(make_results(finals={"wavelet": 3.9}), "steps")
    low, high = chart.y.window
    curves = [series.y for series in chart.series if series.line]
    assert low <= min(min(curve) for curve in curves)
    assert high >= max(curve[-1] for curve in curves)
    assert high < curves[0][0]


def test_of_many_contestants_the_best_five_are_in_colour():
    values = make_values(("none", *MANY, "wavelet"))
    results = typed(values)
    places = slots(results)
    chosen = [name for name, slot in places.items() if slot is not None and slot >= 0]
    losses = {name: results.contestants[name].final_loss.mean for name in results.others}
    assert set(chosen) == set(sorted(losses, key=losses.__getitem__)[:5])
    assert sorted(places[name] for name in chosen) == list(range(5))
    assert places["none"] == BASELINE_SLOT
    assert "Grey: 20 others" in loss_chart(results, "steps").caption
    assert len(named(loss_chart(results, "steps"))) == 6
    # What is measured against is shown too, and so is what the headline is about.
    worst = max(losses, key=losses.__getitem__)
    values["contestants"]["wavelet"]["baseline"] = worst
    assert slots(typed(values))[worst] is not None
    slowest = min(losses, key=losses.__getitem__)
    values["contestants"][slowest]["speedup"]["steps"]["mean"] = 0.1
    assert slots(typed(values))[best(typed(values))] is not None
    few = make_results(("none", "wavelet", "ema"))
    assert slots(few) == {"none": BASELINE_SLOT, "wavelet": 0, "ema": 1}


def test_every_mean_gain_is_inside_the_figure():
    values = make_values(("none", "wavelet", *MANY))
    early = values["contestants"]["wavelet"]["curve"][1]
    early["losses"] = [loss - 3.0 for loss in early["losses"]]
    chart = gap_chart(typed(values))
    low, high = chart.y.window
    assert high > 3.0
    assert all(low < mean < high for series in chart.series for mean in series.y)


def test_gains_are_paired_at_equal_tokens():
    values = make_values(("none", "wavelet", "ema"), seeds=(0, 1, 2))
    contestants = values["contestants"]
    none, wavelet = (contestants[name]["curve"] for name in ("none", "wavelet"))
    chart = gap_chart(typed(values))
    gain = named(chart)["wavelet"]
    assert chart.x.label == "tokens trained on [millions]"
    for i, (a, b) in enumerate(zip(none, wavelet, strict=True)):
        pairs = [x - y for x, y in zip(a["losses"], b["losses"], strict=True)]
        assert gain.y[i] == pytest.approx(sum(pairs) / 3)
        assert (gain.low[i], gain.high[i]) == pytest.approx((min(pairs), max(pairs)))
    assert gain.name == f"wavelet {contestants['wavelet']['gain']['mean']:+.3f}"
    # Half of the evaluations, and a run twice as long as its baseline.
    contestants["wavelet"]["curve"] = wavelet[::2]
    assert named(gap_chart(typed(values)))["wavelet"].y == pytest.approx(gain.y[::2])
    contestants["none"]["curve"] = none[:11]
    short = gap_chart(typed(values))
    assert short.x.label == "tokens trained on [thousands]"
    assert named(short)["wavelet"].x == pytest.approx([1000 * x for x in gain.x[:11:2]])
    # Against another baseline; none for one that is its own.
    contestants["ema"]["baseline"] = contestants["wavelet"]["baseline"] = "ema"
    (only,) = gap_chart(typed(values)).series
    end = [contestants[n]["curve"][-1]["losses"][0] for n in ("ema", "wavelet")]
    assert only.low[-1] <= end[0] - end[1] <= only.high[-1]


def test_the_front_is_what_nothing_beats():
    results = make_results(("none", "wavelet", "ema", "filterbank"), finals={"filterbank": 1.5})
    chart = pareto_chart(results, "flops")
    assert chart.alt.endswith("best: none at 2.272, wavelet at 1.886, filterbank at 1.494.")
    wavelet = results.contestants["wavelet"]
    assert named(chart)["wavelet"].x[0] == pytest.approx(wavelet.curve[-1].flops / 1e12)
    assert named(chart)["wavelet"].low == [wavelet.final_loss.low]
    line = chart.series[0]
    assert (len(line.x), line.x[-1]) == (5, named(chart)["filterbank"].x[0])
    values = make_values(("none", *MANY))
    grey = next(name for name, slot in slots(typed(values)).items() if slot is None)
    values["contestants"][grey]["curve"][-1]["seconds"] = 1.0
    many = pareto_chart(typed(values), "seconds")
    assert [label for series in many.series for label in series.labels] == [grey]
    assert len(dots(many)) == 25
