"""Headline, tables and cautions of a comparison, and how a terminal shows them."""

import io

import pytest

from latentwave.bench.report import cost_table, print_summary, summary_table
from latentwave.bench.report.comparison import additions, budget_in_words, tuning_table
from latentwave.bench.report.headline import best, cautions, write_headline
from latentwave.bench.training.progress import PlainConsole
from tests.bench.comparison.made_up import cost, evaluation, results_of
from tests.bench.report.made_up import KINDS, make_results, make_values, renamed, typed

TUNED = {"losses": {"0.001": 2.0, "0.002": 2.1}, "chosen": 0.001, "at_end_of_grid": True}
TUNED["num_steps"] = 500


def printed(results, width=100):
    file = io.StringIO()
    print_summary(results, PlainConsole(file=file, width=width))
    return file.getvalue()


def strings(row):
    return list(map(str, row))


def with_speedup(mean, low, high, **changes):
    values = make_values()
    wavelet = values["contestants"]["wavelet"]
    wavelet["speedup"]["steps"] = estimate(mean, low, high)
    wavelet |= changes
    return typed(values)


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high}


def evaluated(**losses):
    curves = {
        name: [evaluation(100 * i, [loss]) for i, loss in enumerate(own)]
        for name, own in losses.items()
    }
    return results_of(curves, dict.fromkeys(curves, cost()), dict.fromkeys(curves, 1.0))


def test_rows_are_what_was_measured():
    values = make_values()
    wavelet = values["contestants"]["wavelet"]
    wavelet["final_loss"] = estimate(1.8921, 1.8812, 1.9041)
    wavelet["bits_per"]["character"]["mean"] = 2.7297
    wavelet["num_mixer_parameters"] = 3384
    wavelet["gain"] = estimate(0.386, -0.001, 0.4)
    wavelet["speedup"]["steps"] = estimate(1.93, 1.72, 2.14)
    wavelet["speedup"]["seconds"] = estimate(0.871, 0.81, 1.02)
    table = summary_table(typed(values))
    row = strings(table.rows[1])
    assert row[:8] == [
        "wavelet",
        "1.892 1.881–1.904",
        "2.730",
        "1.21 M (0.28 %)",
        "7.57 M",
        "20.7 k",
        "+0.386 [−0.001, 0.400]",
        "1.9× [1.7, 2.1]",
    ]
    assert row[9] == "0.87× [0.81, 1.02]"
    assert strings(table.rows[0])[-3:] == ["1×"] * 3
    assert "2 seeds" in table.caption
    assert all(len(row) == len(table.heads) for row in table.rows)


def test_bits_per_byte_stand_beside_characters_where_they_differ():
    values = make_values()
    for contestant in values["contestants"].values():
        contestant["bits_per"]["byte"] = dict(contestant["bits_per"]["character"])
    heads = summary_table(typed(values)).heads
    assert [head for head in heads if head.startswith("bits")] == ["bits\n/char"]
    for contestant in values["contestants"].values():
        contestant["bits_per"]["byte"]["mean"] /= 1.25
    table = summary_table(typed(values))
    assert table.heads[2:4] == ["bits\n/char", "bits\n/byte"]
    char, byte = (float(cell.value) for cell in table.rows[0][2:4])
    assert char / byte == pytest.approx(1.25, abs=2e-3)


def test_the_table_says_what_was_not_reached():
    results = make_results(finals={"wavelet": 2.4}, seeds=(0,))
    assert summary_table(results).rows[1][7].note == "not reached"


def test_missing_measurements_are_dashes():
    values = make_values()
    wavelet = values["contestants"]["wavelet"]
    wavelet |= {"tokens_per_second": None, "final_loss": estimate(None), "gain": estimate(None)}
    wavelet["bits_per"]["character"] = wavelet["speedup"]["seconds"] = estimate(None)
    results = typed(values)
    row = strings(summary_table(results).rows[1])
    assert [row[i] for i in (1, 2, 5, 6, 9)] == ["—"] * 5
    details = write_headline(results).details
    assert "final loss is missing" in details
    assert "in seconds" not in details


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (with_speedup(1.93, 1.7, 2.1), "1.9× sooner in steps"),
        (with_speedup(1.03, 0.97, 1.09), "about as many steps (1.03× [0.97, 1.09])"),
        (with_speedup(1.02, None, None), "about as many steps (1.02×)"),
        (with_speedup(0.8, 0.7, 0.9), "needs 1.2× as many steps"),
        (
            with_speedup(1.9, 1.7, 2.1, gain=estimate(0.004, -0.002, 0.01)),
            "cannot be told from its baseline: at the end it is ahead by +0.004 nats "
            "[−0.002, 0.010].",
        ),
        (with_speedup(1.3, None, None, reached=False), "2.272 nats in every seed"),
        (make_results(("none",)), "no speed-up"),
        (make_results(("none", "ema", "wavelet")), "wavelet, the quickest of 2 contestants,"),
        (
            make_results(finals={"wavelet": 2.4}, seeds=(0,)),
            "wavelet does not reach the baseline’s final loss of 2.269 nats within 500 steps.",
        ),
        # It passes the baseline's final loss and diverges afterwards.
        (
            evaluated(none=[4.0, 3.5], a=[3.0, None], b=[4.0, 3.6]),
            "None of 2 contestants reaches the baseline’s final loss of 3.500 nats within 100 "
            "steps; b comes closest.",
        ),
        (evaluated(none=[4.0, 3.5], a=[3.0, None]), "There is no speed-up: a diverged."),
        (evaluated(none=[4.0, None], a=[4.0, 3.0]), "There is no speed-up: the baseline diverged."),
        (
            evaluated(none=[4.0, 3.5], a=[4.0, None], b=[None, None]),
            "There is no speed-up: every one of 2 contestants diverged.",
        ),
        (
            evaluated(none=[3.3, 3.4], a=[3.5, 3.3]),
            "There is no speed-up: the baseline ends at 3.400 nats, no lower than it began.",
        ),
    ],
)
def test_the_lead_is_honest(results, words):
    assert words in write_headline(results).lead


@pytest.mark.parametrize("width", [120, 80, 60])
def test_fits_the_terminal_without_cutting_a_number(width):
    results = make_results(tuple(KINDS), seeds=(0, 1, 2))
    text = printed(results, width)
    assert max(map(len, text.splitlines())) <= width
    for table in (summary_table(results), cost_table(results)):
        for row in table.rows:
            for cell in row:
                assert cell.value in text
                assert cell.note in text
    assert text.count("contestant  ") == {120: 2, 80: 3, 60: 5}[width]


def test_a_name_is_only_text_and_folded_not_cut():
    name = "a_contestant_with_a_name_of_many_words"
    text = printed(typed(renamed(name)))
    assert name[:20] in text
    assert name[20:] in text
    assert "[red]x[/blue]" in printed(typed(renamed("[red]x[/blue]")))


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 6])
def test_too_few_seeds_are_said_everywhere(num_seeds):
    results = make_results(seeds=tuple(range(num_seeds)))
    words = {1: "One seed: no interval", 2: "at most 50 % of the time", 3: "at most 75 %"}
    table, details = summary_table(results), write_headline(results).details
    if num_seeds in words:
        assert words[num_seeds] in table.caption
        assert words[num_seeds] in details
        assert "6 seeds" in table.caption
    else:
        assert "at most" not in table.caption + details
    brackets = any("[" in str(cell) for row in table.rows for cell in row)
    assert brackets == (num_seeds > 1)


def test_contestants_that_seeds_do_not_tell_apart_are_named():
    values = make_values(("none", "wavelet", "ema", "short_conv"), seeds=(0, 1, 2))
    assert "do not tell it" not in write_headline(typed(values)).details
    ends = values["contestants"]["wavelet"]["curve"][-1]["losses"]
    near = [loss + by for loss, by in zip(ends, (0.01, -0.02, 0.03), strict=True)]
    values["contestants"]["ema"]["curve"][-1]["losses"] = near
    details = write_headline(typed(values)).details
    assert "By their final losses these seeds do not tell it from ema." in details


def test_another_baseline_is_named():
    values = make_values(("none", "wavelet", "ema"))
    values["contestants"] = dict(reversed(values["contestants"].items()))
    wavelet = values["contestants"]["wavelet"]
    wavelet["baseline"] = "ema"
    wavelet["speedup"]["seconds"] = estimate(0.8, 0.7, 0.9)
    results = typed(values)
    rows = {row[0].value: row for row in summary_table(results).rows}
    assert list(rows) == ["none", "ema", "wavelet"]  # the plain baseline is always first
    assert (rows["wavelet"][0].note, rows["ema"][0].note) == ("vs ema", "")
    headline = write_headline(results)
    assert best(results) == "wavelet"  # findings are not about baselines
    assert "reaches ema’s final loss" in headline.lead
    assert "ema at 1.9" in headline.details
    assert "in seconds, slower than ema" in headline.details
    values["contestants"]["ema"]["baseline"] = "ema"
    assert summary_table(typed(values)).rows[1][0].note == "baseline"


def test_costs_are_what_was_measured():
    values = make_values(("none", "filterbank"))
    table = cost_table(typed(values))
    assert strings(table.rows[1]) == [
        "filterbank",
        "8.57 M",
        "613 581–645",
        "23.8 MB",
        "572 kB (mixer 48 kB)",
        "0.001",
        "500",
    ]
    assert "Cache: what a full context takes" in table.caption
    step = {"median": 0.9996, "shortest": 0.0996, "longest": 1.2345}
    values["clock"]["step_seconds"]["none"] = step
    assert str(cost_table(typed(values)).rows[0][2]) == "1,000 99.6–1,234"
    for contestant in values["contestants"].values():
        contestant["decoding"] = contestant["peak_memory_bytes"] = None
    values["clock"] = None
    table = cost_table(typed(values))
    assert "memory" not in table.caption
    assert [head.split("\n")[0] for head in table.heads] == [*("contestant", "learning", "steps")]


def test_the_chosen_rate_is_marked_however_many_digits_it_has():
    values = make_values()
    losses = {"0.001": 2.0, "0.0031622776601683794": 1.0, "0.01": 1.5}
    search = TUNED | {"losses": losses, "chosen": 10**-2.5, "at_end_of_grid": False}
    values["tuning"] = {"none": search}
    assert strings(tuning_table(typed(values)).rows[0])[1:] == ["2.000", "1.000 chosen", "1.500"]


def test_cautions():
    values = make_values()
    assert cautions(typed(values)) == []
    values["clock"]["busy_cores"] = 1.31
    diverged = {"losses": {"0.001": None, "0.002": 2.2}, "chosen": 0.002, "at_end_of_grid": False}
    values["tuning"] = {"none": TUNED, "wavelet": TUNED | diverged}
    results = typed(values)
    busy, ends = cautions(results)
    assert "kept 1.3 cores busy" in busy
    assert "chosen for none lies at an end" in ends
    assert "kept 1.3 cores busy" in printed(results)
    rows = [strings(row) for row in tuning_table(results).rows]
    assert rows[0] == ["none chosen at an end of the grid", "2.000 chosen", "2.100"]
    assert rows[1] == ["wavelet", "diverged", "2.200 chosen"]
    values["tuning"]["none"]["num_steps"] = 100
    *_, short = cautions(typed(values))
    assert "runs of 100 steps, for runs of 500: short runs favour higher rates" in short
    # With a budget in FLOPs or seconds, expensive contestants train for fewer steps.
    values["tuning"]["none"]["num_steps"] = 500
    values["tuning"]["wavelet"]["num_steps"] = values["contestants"]["wavelet"]["num_steps"] = 300
    assert "short runs" not in " ".join(cautions(typed(values)))
    values["contestants"]["wavelet"]["curve"][-1]["losses"][0] = None
    (said,) = [each for each in cautions(typed(values)) if "diverged" in each]
    assert said.startswith(f"wavelet diverged with 1 of {len(values['seeds'])} seeds")


@pytest.mark.parametrize(
    ("budget", "words"),
    [("tokens", "same tokens"), ("flops", "FLOPs pay for"), ("seconds", "seconds pay for")],
)
def test_budget_and_clock_in_words(budget, words):
    values = make_values() | {"budget": budget}
    said = budget_in_words(typed(values))
    assert words in said
    assert "median of 7 rounds" in said
    assert "others kept 0.02 cores busy" in said
    assert "that the runs took" in budget_in_words(typed(values | {"clock": None}))


def test_what_a_contestant_is():
    values = make_values()
    options = {"level": 2, "bands": [{"name": "low"}], "schedule": None}
    values["contestants"]["wavelet"] |= {
        "mixers": [
            {"kind": "wavelet", "options": options, "points": ["attention", "mlp"]},
            {"kind": "ema", "placement": [0, 2], "points": ["block"]},
        ],
        "backbone": {"positions": "none"},
    }
    assert additions(typed(values).contestants["wavelet"]) == (
        "wavelet, level 2, bands (name low), at attention, mlp, ema, at block, placement 0, 2, "
        "positions none"
    )
    assert additions(typed(values).contestants["none"]) == ""
