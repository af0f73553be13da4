import io

import pytest
from rich.console import Console

from latentwave.bench.report import cost_table, print_summary, summary_table
from latentwave.bench.report.cautions import cautions
from latentwave.bench.report.headline import write_headline
from latentwave.bench.report.method import budget_in_words, clock_in_words, tuning_table
from tests.bench.report.made_up import KINDS, make_results


def printed(results, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_summary(results, console)
    return console.file.getvalue()


def with_speedup(mean, low, high, *, reached=True, seeds=(0, 1), gain=None):
    results = make_results(seeds=seeds)
    contestant = results["contestants"]["wavelet"]
    if gain is not None:
        contestant["gain"] = gain
    contestant["speedup"]["steps"] = {"mean": mean, "low": low, "high": high}
    contestant["reached"] = reached
    return results


def test_rows_are_what_was_measured():
    results = make_results()
    wavelet = results["contestants"]["wavelet"]
    wavelet["final_loss"] = {"mean": 1.8921, "low": 1.8812, "high": 1.9041}
    wavelet["bits_per"]["character"]["mean"] = 2.7297
    wavelet["num_mixer_parameters"] = 3384
    wavelet["gain"] = {"mean": 0.386, "low": -0.001, "high": 0.4}
    wavelet["speedup"]["steps"] = {"mean": 1.93, "low": 1.72, "high": 2.14}
    wavelet["speedup"]["seconds"] = {"mean": 0.871, "low": 0.81, "high": 1.02}
    table = summary_table(results)
    row = [str(cell) for cell in table.rows[1]]
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
    assert [str(cell) for cell in table.rows[0]][-3:] == ["1×"] * 3
    assert "2 seeds" in table.caption
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_bits_per_byte_stand_beside_characters_where_they_differ():
    results = make_results()
    for contestant in results["contestants"].values():
        bits = contestant["bits_per"]["character"]
        contestant["bits_per"]["byte"] = dict(bits)
    assert [c.unit for c in summary_table(results).columns if c.title == "bits"] == ["/char"]
    for contestant in results["contestants"].values():
        contestant["bits_per"]["byte"]["mean"] /= 1.25
    table = summary_table(results)
    assert [c.unit for c in table.columns if c.title == "bits"] == ["/char", "/byte"]
    char, byte = (float(cell.value) for cell in table.rows[0][2:4])
    assert char / byte == pytest.approx(1.25, abs=2e-3)
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_baseline_stands_first_wherever_it_was():
    results = make_results(("none", "wavelet", "ema"))
    results["contestants"] = dict(reversed(results["contestants"].items()))
    assert [row[0].value for row in summary_table(results).rows] == ["none", "ema", "wavelet"]


def test_one_seed_shows_no_interval_and_says_so():
    results = make_results(seeds=(0,))
    table = summary_table(results)
    assert "One seed: no interval" in table.caption
    assert not any("[" in str(cell) for row in table.rows for cell in row)
    assert "One seed: no interval" in printed(results, 200)
    assert "One seed: no interval" in write_headline(results).details


def test_not_reached_is_said_in_table_and_headline():
    results = make_results(finals={"wavelet": 2.4})
    assert str(summary_table(results).rows[1][7]) == "— not reached"
    assert "does not reach" in write_headline(results).lead
    assert "within 500 steps" in write_headline(results).lead
    assert "sooner" not in printed(results)


def test_missing_measurements_are_dashes():
    results = make_results()
    wavelet = results["contestants"]["wavelet"]
    for key in ("num_parameters", "num_mixer_parameters", "flops_per_token", "tokens_per_second"):
        wavelet[key] = None
    wavelet["final_loss"] = {"mean": None, "low": None, "high": None}
    wavelet["bits_per"]["character"] = {"mean": None, "low": None, "high": None}
    wavelet["speedup"]["seconds"] = {"mean": None, "low": None, "high": None}
    row = [str(cell) for cell in summary_table(results).rows[1]]
    assert [row[i] for i in (1, 2, 3, 4, 5, 9)] == ["—"] * 6
    assert "final loss is missing" in write_headline(results).details
    assert "seconds" not in write_headline(results).speedups


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (with_speedup(1.93, 1.7, 2.1), "1.9× sooner in steps"),
        (with_speedup(1.03, 0.97, 1.09), "about as many steps (1.03× [0.97, 1.09])"),
        (with_speedup(1.02, None, None), "about as many steps (1.02×)"),
        (with_speedup(0.8, 0.7, 0.9), "needs 1.2× as many steps"),
        (
            with_speedup(1.9, 1.7, 2.1, gain={"mean": 0.004, "low": -0.002, "high": 0.01}),
            "cannot be told from its baseline: at the end it is ahead by +0.004 nats "
            "[−0.002, 0.010].",
        ),
        (with_speedup(1.3, None, None, reached=False), "2.272 nats in every seed"),
        (with_speedup(0.9, None, None, reached=False, seeds=(0,)), "does not reach"),
        (with_speedup(None, None, None), "reaches the baseline’s final loss of 2.272 nats."),
        (make_results(("none",)), "no speed-up"),
        (make_results(("none", "ema", "wavelet")), "wavelet, the quickest of 2 contestants,"),
        (
            make_results(("none", "ema", "wavelet"), finals={"ema": 2.4}),
            "wavelet, the quickest of 2 contestants,",
        ),
        (
            make_results(("none", "ema", "wavelet"), finals={"ema": 2.5, "wavelet": 2.4}),
            "None of 2 contestants",
        ),
    ],
)
def test_the_lead_is_honest(results, words):
    assert words in write_headline(results).lead


def test_the_price_is_named():
    results = make_results(("none", "filterbank"))
    headline = write_headline(results)
    assert "0.4 % more parameters, 240 % more FLOPs per token" in headline.details
    assert "69 % fewer tokens per second" in headline.details
    assert "in seconds, slower than the baseline" in headline.speedups
    assert "no extra parameters" in write_headline(make_results()).details


@pytest.mark.parametrize("width", [120, 100, 80, 60])
def test_fits_the_terminal_without_cutting_a_number(width):
    results = make_results(tuple(KINDS), seeds=(0, 1, 2))
    text = printed(results, width)
    assert max(map(len, text.splitlines())) <= width
    for table in (summary_table(results), cost_table(results)):
        for row in table.rows:
            for cell in row:
                assert cell.value in text
                assert cell.note in text
    assert text.count("contestant  ") == {120: 2, 100: 3, 80: 4, 60: 8}[width]


def test_a_long_name_is_folded_not_cut():
    results = make_results()
    name = "a_contestant_with_a_name_of_many_words"
    results["contestants"][name] = results["contestants"].pop("wavelet")
    assert name[:20] in printed(results)
    assert name[20:] in printed(results)


def test_markup_in_a_name_is_only_text():
    results = make_results()
    results["contestants"]["[red]x[/blue]"] = results["contestants"].pop("wavelet")
    assert "[red]x[/blue]" in printed(results)


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 6])
def test_too_few_seeds_are_said_everywhere(num_seeds):
    results = make_results(seeds=tuple(range(num_seeds)))
    words = {1: "One seed: no interval", 2: "at most 50 % of the time", 3: "at most 75 %"}
    caption, details = summary_table(results).caption, write_headline(results).details
    if num_seeds in words:
        assert words[num_seeds] in caption
        assert words[num_seeds] in details
        assert "6 seeds" in caption
    else:
        assert "at most" not in caption + details


def test_contestants_that_seeds_do_not_tell_apart_are_named():
    results = make_results(("none", "wavelet", "ema", "short_conv"), seeds=(0, 1, 2))
    assert "do not tell it" not in write_headline(results).details
    ends = results["contestants"]["wavelet"]["curve"][-1]["losses"]
    results["contestants"]["ema"]["curve"][-1]["losses"] = [
        loss + by for loss, by in zip(ends, (0.01, -0.02, 0.03), strict=True)
    ]
    assert "By their final losses these seeds do not tell it from ema." in (
        write_headline(results).details
    )


def test_another_baseline_is_named():
    results = make_results(("none", "wavelet", "ema"), seeds=(0, 1))
    results["contestants"]["wavelet"]["baseline"] = "ema"
    rows = {row[0].value: row for row in summary_table(results).rows}
    assert rows["wavelet"][0].note == "vs ema"
    assert rows["ema"][0].note == ""
    headline = write_headline(results)
    # What others are measured against is no finding.
    assert headline.subject == "wavelet"
    assert "reaches ema’s final loss" in headline.lead
    assert "ema at 1.9" in headline.details
    assert "Beside ema:" in headline.details
    results["contestants"]["ema"]["baseline"] = "ema"
    assert summary_table(results).rows[2][0].note == "baseline"


def test_costs_are_what_was_measured():
    results = make_results(("none", "filterbank"))
    table = cost_table(results)
    row = [str(cell) for cell in table.rows[1]]
    assert row == [
        "filterbank",
        "1.21 M (0.4 %)",
        "25.7 M",
        "8.57 M",
        "613 581–645",
        "22.7 MiB",
        "559 KiB (mixer 46.9 KiB)",
        "0.001",
        "500",
    ]
    for contestant in results["contestants"].values():
        contestant["decoding"] = contestant["memory"] = None
    results["clock"] = {"method": "runs"}
    assert "Cache: what a full context takes" in table.caption
    assert "memory" not in cost_table(results).caption
    titles = [column.title for column in cost_table(results).columns]
    assert titles == ["contestant", "params", "training", "learning", "steps"]
    assert "rate" not in printed(results)


def test_cautions():
    results = make_results()
    assert cautions(results) == []
    results["clock"]["busy_cores"] = 1.31
    results["tuning"] = {
        "none": {"losses": {"0.001": 2.0, "0.002": 2.1}, "chosen": 0.001, "at_end_of_grid": True},
        "wavelet": {"losses": {"0.001": None}, "chosen": 0.002, "at_end_of_grid": False},
    }
    results["recipe"]["tuning"] = {"num_steps": 100}
    results["recipe"]["training"] = {"num_steps": 1500}
    busy, ends, short = cautions(results)
    assert "runs of 100 steps, for runs of 1,500: short runs favour higher rates" in short
    results["recipe"]["tuning"] = {"num_steps": None}
    assert cautions(results) == [busy, ends]
    assert "kept 1.3 cores busy" in busy
    assert "chosen for none lies at an end" in ends
    assert "kept 1.3 cores busy" in printed(results)
    table = tuning_table(results)
    assert [str(cell) for cell in table.rows[0]] == [
        "none chosen at an end of the grid",
        "2.000 chosen",
        "2.100",
    ]
    assert [str(cell) for cell in table.rows[1]] == ["wavelet", "diverged", ""]


@pytest.mark.parametrize(
    ("budget", "words"),
    [("tokens", "same tokens"), ("flops", "FLOPs pay for"), ("seconds", "seconds pay for")],
)
def test_budget_and_clock_in_words(budget, words):
    results = make_results() | {"budget": budget}
    assert words in budget_in_words(results)
    assert "median of 7 rounds" in clock_in_words(results)
    assert "others kept 0.02 cores busy" in clock_in_words(results)
    assert "that the runs took" in clock_in_words(results | {"clock": {"method": "runs"}})
