import pytest

from latentwave.bench.comparison import first_crossing
from latentwave.bench.report.charts import BASELINE_SLOT, colour
from latentwave.bench.report.comparison_charts import (
    comparison_charts,
    gap_chart,
    loss_chart,
    pareto_chart,
)
from latentwave.bench.report.headline import best, slots
from tests.bench.report.made_up import MANY, drawn, make_results, make_values, typed


def named(axes):
    """The lines and dots of the legend, by the first word of their label."""
    return {line.get_label().split()[0]: line for line in axes.get_legend_handles_labels()[0]}


def dots(axes):
    return [line for line in axes.get_lines() if line.get_marker() == "o"]


def test_the_crossing_is_on_the_mean_curve():
    results = make_results()
    axes = drawn(loss_chart(results, "steps"))
    wavelet, (dot,) = named(axes)["wavelet"], dots(axes)
    target = results.contestants["none"].final_loss.mean
    crossing = first_crossing(list(wavelet.get_ydata()), list(wavelet.get_xdata()), target)
    assert (dot.get_xdata(), dot.get_ydata()) == ([crossing], [target])
    assert dot.get_markerfacecolor() == wavelet.get_color()
    assert 150 < crossing < 250


@pytest.mark.parametrize("change", [{"reached": False}, {"baseline": "ema"}])
def test_only_contestants_that_reach_the_plain_baseline_are_marked(change):
    values = make_values(("none", "wavelet", "ema"))
    values["contestants"]["wavelet"] |= change
    axes = drawn(loss_chart(typed(values), "steps"))
    (dot,) = dots(axes)
    assert dot.get_markerfacecolor() == named(axes)["ema"].get_color()


def test_missing_points_are_left_out_and_missing_measures_have_no_chart():
    values = make_values(timed=False)
    curve = values["contestants"]["wavelet"]["curve"]
    curve[3] |= {"loss": None, "losses": [None, 2.0]}
    results = typed(values)
    for chart in (loss_chart(results, "steps"), gap_chart(results)):
        assert len(named(drawn(chart))["wavelet"].get_xdata()) == len(curve) - 1
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
    assert "ema" in named(drawn(loss_chart(results, "steps")))
    # The legend does not take what it gained before it diverged for its final gain.
    gains = drawn(gap_chart(results)).get_legend_handles_labels()[1]
    assert gains[:-1] == (["wavelet —"] if kept else [])
    assert "wavelet" not in named(drawn(pareto_chart(results, "flops")))
    for contestant in values["contestants"].values():
        contestant["curve"] = contestant["curve"][:1]
        contestant["final_loss"]["mean"] = None
    assert comparison_charts(typed(values)) == []


def test_the_window_leaves_out_the_steep_start_but_never_the_end():
    axes = drawn(loss_chart(make_results(finals={"wavelet": 3.9}), "steps"))
    low, high = axes.get_ylim()
    curves = [line.get_ydata() for line in named(axes).values()]
    assert low <= min(min(curve) for curve in curves)
    assert max(curve[-1] for curve in curves) <= high < curves[0][0]


def test_of_many_contestants_the_best_five_are_in_colour():
    values = make_values(("none", *MANY, "wavelet"))
    results = typed(values)
    places = slots(results)
    chosen = [name for name, slot in places.items() if slot is not None and slot >= 0]
    losses = {name: results.contestants[name].final_loss.mean for name in results.others}
    assert set(chosen) == set(sorted(losses, key=losses.__getitem__)[:5])
    assert sorted(places[name] for name in chosen) == list(range(5))
    assert places["none"] == BASELINE_SLOT
    chart = loss_chart(results, "steps")
    assert "Grey: 20 others" in chart.caption
    assert len(named(drawn(chart))) == 6
    # Baselines are in colour too, and so is the headline's contestant.
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
    axes = drawn(gap_chart(typed(values)))
    low, high = axes.get_ylim()
    assert high > 3.0
    assert all(low < mean < high for line in axes.get_lines() for mean in line.get_ydata())


def test_gains_are_paired_at_equal_tokens():
    values = make_values(seeds=(0, 1, 2))
    contestants = values["contestants"]
    none, wavelet = (contestant["curve"] for contestant in contestants.values())
    axes = drawn(gap_chart(typed(values)))
    gain = named(axes)["wavelet"]
    corners = axes.collections[0].get_paths()[0].vertices
    for i, (a, b) in enumerate(zip(none, wavelet, strict=True)):
        pairs = [x - y for x, y in zip(a["losses"], b["losses"], strict=True)]
        assert gain.get_ydata()[i] == pytest.approx(sum(pairs) / 3)
        ends = corners[corners[:, 0] == a["tokens"], 1]
        assert (ends.min(), ends.max()) == pytest.approx((min(pairs), max(pairs)))
    assert gain.get_label() == f"wavelet {contestants['wavelet']['gain']['mean']:+.3f}"
    # Half of the evaluations, and a run twice as long as its baseline.
    contestants["wavelet"]["curve"] = wavelet[::2]
    halved = named(drawn(gap_chart(typed(values))))["wavelet"]
    assert halved.get_ydata() == pytest.approx(gain.get_ydata()[::2])
    contestants["none"]["curve"] = none[:11]
    short = named(drawn(gap_chart(typed(values))))["wavelet"]
    assert short.get_xdata() == pytest.approx(gain.get_xdata()[:11:2])


def test_the_front_is_what_nothing_beats():
    results = make_results(("none", "wavelet", "ema", "filterbank"), finals={"filterbank": 1.5})
    chart = pareto_chart(results, "flops")
    assert chart.alt.endswith("nothing beats none, wavelet, filterbank.")
    axes = drawn(chart)
    own = results.contestants["wavelet"]
    (point,) = named(axes)["wavelet"].get_xydata()
    assert point.tolist() == [own.curve[-1].flops, own.final_loss.mean]
    ends = [line.get_segments()[0][:, 1].tolist() for line in axes.collections]
    assert pytest.approx([own.final_loss.low, own.final_loss.high]) in ends
    low, high = axes.get_xlim()
    assert all(low < dot.get_xdata()[0] < high for dot in dots(axes))
    values = make_values(("none", *MANY))
    grey = next(name for name, slot in slots(typed(values)).items() if slot is None)
    values["contestants"][grey]["curve"][-1]["seconds"] = 1.0
    many = drawn(pareto_chart(typed(values), "seconds"))
    assert [text.get_text() for text in many.texts] == [grey]
    assert len(dots(many)) == 25
    assert sum(dot.get_markerfacecolor() == colour(None) for dot in dots(many)) == 19


@pytest.mark.parametrize(
    "name", ["learnable_wavelet-levels-{}", "haar-with-{}-taps-before-the-mlp"]
)
def test_eight_contestants_are_told_apart_in_every_figure(name):
    names = [name.format(i) for i in range(8)]
    results = make_results(("none", *names))
    for chart in (loss_chart(results, "steps"), pareto_chart(results, "flops")):
        handles, labels = drawn(chart).get_legend_handles_labels()
        looks = {
            (each.get_color(), each.is_dashed())
            if each.get_linestyle() != "None"
            else (each.get_markerfacecolor(), each.get_marker())
            for each in handles
        }
        assert len(looks) == len({label.split()[0] for label in labels}) == 9
