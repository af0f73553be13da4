"""Tables and figures of ladders."""

import io
import re

import pytest
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
    return re.sub(r"^by tokens.*\n", "", output.getvalue(), flags=re.M)


@pytest.mark.parametrize(
    ("name", "words", "is_shown"),
    [
        ("ladder-gpu", "# strong, the rule for a default", True),
        ("ladder-gpu", "yes  1.21 [1.13, 1.31]", True),
        ("ladder-gpu", "Steps were not timed", True),
        ("ladder-gpu", "in seconds", False),
        ("ladder-text", "# strong, in seconds", True),
        ("ladder-text", "# strong, learning rates\n* an end of the grid", True),
        ("ladder-text", "wavelet               0.1M  8*", True),
        ("ladder-paper", "an end of the grid", False),
        # One seed at one size has neither intervals nor a verdict.
        ("screening-text", "+0.028 1.59×*", True),
        ("screening-text", "[", False),
        ("screening-text", "the rule for a default", False),
    ],
)
def test_a_terminal_shows_what_a_ladder_has(name, words, is_shown):
    assert (words in printed(name)) == is_shown


def test_a_ladder_without_multipliers_says_why():
    results = read_ladder(ROOT / "results" / "ladder-text")
    lawless = [each.model_copy(update={"tokens": None}) for each in results.multipliers]
    plain = [each for each in results.points if each.contestant == "none"]
    assert plain
    for change, words in (
        ({"multipliers": lawless}, "too few or fit no law"),
        ({"multipliers": []}, "diverged or have not finished"),
        ({"multipliers": [], "points": plain}, "Only the plain decoder has been trained"),
    ):
        assert words in headline(results.model_copy(update=change))


def test_a_table_says_where_a_law_is_missing():
    results = read_ladder(ROOT / "results" / "ladder-text")
    without = {"tokens": None, "extrapolated": False}
    lawless = [each.model_copy(update=without) for each in results.multipliers]
    output = io.StringIO()
    print_ladder(results.model_copy(update={"multipliers": lawless}), Console(file=output))
    assert "— no multiplier: the plain decoder’s runs are too few" in output.getvalue()
    assert "extrapolated" not in output.getvalue()


def test_a_far_extrapolation_does_not_flatten_what_was_measured():
    results = read_ladder(ROOT / "results" / "ladder-text")
    far = {"tokens": Interval(mean=36.0, low=3.0, high=None)}
    changed = [m.model_copy(update=far) if m.extrapolated else m for m in results.multipliers]
    assert changed != results.multipliers
    results = results.model_copy(update={"multipliers": changed})
    (chart, *_), *_ = (grid.charts for grid in ladder_charts(results))
    low, high = drawn(chart).get_ylim()
    assert low < 1 < 2 < high < 4
