import copy
import json
from pathlib import Path

import pytest

from latentwave.bench.report import load_results
from latentwave.errors import UserError
from tests.bench.report.made_up import make_results

COMMITTED = Path(__file__).parents[3] / "results"


def write(folder, results):
    (folder / "results.json").write_text(
        results if isinstance(results, str) else json.dumps(results), encoding="utf-8"
    )
    return folder


def test_reads_a_file_and_its_folder(tmp_path):
    results = make_results()
    write(tmp_path, results)
    assert load_results(tmp_path) == results
    assert load_results(str(tmp_path / "results.json")) == results


def test_reads_results_that_count_characters_alone(tmp_path):
    results = make_results()
    old = copy.deepcopy(results)
    for contestant in old["contestants"].values():
        contestant["bits_per_character"] = contestant.pop("bits_per")["character"]
    assert load_results(write(tmp_path, old)) == results


def test_reads_results_from_before_budgets_and_own_baselines(tmp_path):
    results = make_results(seeds=(0, 1, 2))
    old = copy.deepcopy(results)
    for key in ("budget", "clock", "tuning", "statistics"):
        del old[key]
    for contestant in old["contestants"].values():
        for key in ("backbone", "baseline", "learning_rate", "num_steps", "gain", "memory"):
            del contestant[key]
        del contestant["decoding"]
    found = load_results(write(tmp_path, old))
    assert (found["budget"], found["clock"], found["tuning"]) == (
        "tokens",
        {"method": "runs"},
        None,
    )
    assert found["statistics"] == {"mean_of_ratios": "arithmetic"}
    wavelet = found["contestants"]["wavelet"]
    assert wavelet["gain"]["mean"] == pytest.approx(
        results["contestants"]["wavelet"]["gain"]["mean"]
    )
    assert wavelet["gain"]["low"] <= wavelet["gain"]["mean"] <= wavelet["gain"]["high"]
    assert wavelet["baseline"] == "none"
    assert (wavelet["learning_rate"], wavelet["num_steps"]) == (0.001, 500)
    assert wavelet["memory"] is wavelet["decoding"] is None


@pytest.mark.parametrize(
    "path", sorted(COMMITTED.glob("*/results.json")), ids=lambda p: p.parent.name
)
def test_committed_results_can_be_read(path):
    found = load_results(path)
    assert all(c["gain"]["mean"] is not None for c in found["contestants"].values())


def test_refuses_a_baseline_that_is_not_there(tmp_path):
    results = make_results()
    results["contestants"]["wavelet"]["baseline"] = "llama"
    with pytest.raises(UserError, match="no contestant 'llama', which 'wavelet' is measured"):
        load_results(write(tmp_path, results))


def test_what_a_diverged_run_leaves_counts_as_not_measured(tmp_path):
    text = json.dumps(make_results()).replace('"tokens_per_second": 21480.0', '"x": 0', 1)
    text = text.replace('"x": 0', '"tokens_per_second": NaN', 1)
    assert load_results(write(tmp_path, text))["contestants"]["none"]["tokens_per_second"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "the whole file must be dict"),
        ("{}", "lacks 'recipe'"),
    ],
)
def test_refuses_what_is_not_a_comparison(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_results(write(tmp_path, text))


def test_refuses_a_missing_file_and_says_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=r"no results file .*results\.json"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        ("environment",),
        ("recipe", "name"),
        ("contestants", "wavelet", "reached"),
        ("contestants", "wavelet", "final_loss", "high"),
        ("contestants", "wavelet", "bits_per", "character"),
        ("contestants", "wavelet", "speedup", "flops", "mean"),
    ],
)
def test_names_the_key_that_is_missing(tmp_path, path):
    results = copy.deepcopy(make_results())
    inner = results
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(UserError, match=f"lacks '{'.'.join(path)}'"):
        load_results(write(tmp_path, results))


TUNED = {"losses": {"0.001": 2.0, "0.002": None}, "chosen": 0.001, "at_end_of_grid": False}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["clock"], None, "clock must be dict, got None"),
        (["clock"], {}, "lacks 'clock.method'"),
        (["clock"], {"method": "alternating steps"}, "lacks 'clock.rounds'"),
        (["clock", "busy_cores"], "few", "clock.busy_cores must be int or float, got 'few'"),
        (["clock", "step_seconds", "none"], {}, "lacks 'clock.step_seconds.none.median'"),
        (["tuning"], [TUNED], "tuning must be dict"),
        (["tuning"], {"none": {"losses": {}, "chosen": 1}}, "lacks 'tuning.none.at_end_of_grid'"),
        (["tuning"], {"none": TUNED | {"losses": {"0.1": []}}}, r"tuning.none.losses.0.1 must be"),
        (["statistics"], None, "statistics must be dict"),
        (["recipe", "training"], [1], "recipe.training must be dict"),
        (["corpus", "units_per_token"], [1], "corpus.units_per_token must be dict"),
        (["contestants", "wavelet", "mixer", "options"], [1], "wavelet.mixer.options must be dict"),
        (["contestants", "wavelet", "mixer", "points"], [1], r"mixer.points\[0\] must be str"),
        (["contestants", "wavelet", "memory"], [1], "contestants.wavelet.memory must be dict"),
        (["contestants", "none", "curve", 0, "tokens"], "9", r"none.curve\[0\].tokens must be"),
    ],
)
def test_names_a_value_that_no_report_can_be_made_of(tmp_path, path, value, message):
    results = make_results()
    inner = results
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=message):
        load_results(write(tmp_path, results))


def test_a_search_and_a_mixer_without_options_are_fine(tmp_path):
    results = make_results() | {"tuning": {"none": TUNED}}
    results["contestants"]["wavelet"]["mixer"] = {"kind": "wavelet", "points": ["qkv", "mlp"]}
    assert load_results(write(tmp_path, results)) == results


def test_names_a_value_of_the_wrong_kind_inside_a_list(tmp_path):
    results = make_results()
    results["contestants"]["wavelet"]["curve"][3]["loss"] = "low"
    with pytest.raises(UserError, match=r"contestants\.wavelet\.curve\[3\]\.loss must be .*'low'"):
        load_results(write(tmp_path, results))


def test_refuses_a_comparison_without_baseline_or_seeds(tmp_path):
    results = make_results()
    del results["contestants"]["none"]
    with pytest.raises(UserError, match="must include 'none', found 'wavelet'"):
        load_results(write(tmp_path, results))
    with pytest.raises(UserError, match="without seeds"):
        load_results(write(tmp_path, make_results() | {"seeds": []}))
