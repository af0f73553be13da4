"""Tables and figures of ladders."""

import io

from rich.console import Console

from latentwave.bench.ladder import read_ladder
from latentwave.bench.ladder.results import Interval
from latentwave.bench.report import print_ladder
from latentwave.bench.report.ladder import headline
from latentwave.bench.report.ladder_charts import ladder_charts
from tests.bench.report.made_up import drawn
from tests.processes import ROOT


def printed(name):
    """The tables of a committed ladder, without the lines that explain them."""
    output = io.StringIO()
    print_ladder(read_ladder(ROOT / "results" / name), Console(file=output, width=120))
    lines = output.getvalue().split("\n")
    return "\n".join(line for line in lines if not line.startswith("by tokens"))


def test_several_seeds_have_intervals_and_a_verdict():
    shown = printed("ladder-gpu")
    assert "# strong, the rule for a default" in shown
    assert "yes  1.21 [1.13, 1.31]" in shown
    assert "Steps were not timed" in shown


def test_one_seed_at_one_size_has_neither():
    shown = printed("screening-text")
    assert "+0.028 1.59×*" in shown
    assert "[" not in shown
    assert "the rule for a default" not in shown


def test_seconds_are_shown_where_steps_were_timed():
    assert "# strong, in seconds" in printed("ladder-text")
    assert "in seconds" not in printed("ladder-gpu")


def test_a_rate_at_an_end_of_its_grid_is_marked_and_explained():
    shown = printed("ladder-text")
    assert "# strong, learning rates\n* an end of the grid" in shown
    assert "wavelet               0.1M  8*" in shown
    assert "an end of the grid" not in printed("ladder-paper")


def test_a_ladder_without_multipliers_says_why():
    results = read_ladder(ROOT / "results" / "ladder-text")
    lawless = [each.model_copy(update={"tokens": None}) for each in results.multipliers]
    plain = [each for each in results.points if each.contestant == "none"]
    assert plain
    for change, words in (
        ({"multipliers": lawless}, "too few for a law"),
        ({"multipliers": []}, "diverged or are left"),
        ({"multipliers": [], "points": plain}, "No contestant has been trained"),
    ):
        assert words in headline(results.model_copy(update=change))


def test_a_far_extrapolation_does_not_flatten_what_was_measured():
    results = read_ladder(ROOT / "results" / "ladder-text")
    far = [
        m.model_copy(update={"tokens": Interval(mean=36.0, low=3.0, high=None)})
        if m.extrapolated
        else m
        for m in results.multipliers
    ]
    assert far != results.multipliers
    results = results.model_copy(update={"multipliers": far})
    (chart, *_), *_ = (grid.charts for grid in ladder_charts(results))
    low, high = drawn(chart).get_ylim()
    assert low < 1 < 2 < high < 4
