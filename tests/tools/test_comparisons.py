import json
from pathlib import Path

import pytest

from latentwave.errors import UserError
from tools.comparisons import recompute

RESULTS = Path(__file__).parents[2] / "results"
# Records of an early version, so that the tests do not change with the results.
RECORDED = Path(__file__).parent / "recorded"
DEMO, TEXT = RECORDED / "demo", RECORDED / "text-small"


def copy_with(folder, source, change):
    """A copy of a comparison in whose results.json something was changed."""
    results = json.loads((source / "results.json").read_text())
    change(results)
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def at(results, path):
    for key in path:
        results = results[key]
    return results


@pytest.mark.parametrize("folder", sorted(p.parent for p in RESULTS.glob("*/results.json")))
def test_every_committed_result_says_what_its_curves_give(folder):
    assert recompute(folder).contestants


@pytest.mark.parametrize(
    "path",
    [
        "final_loss.mean",
        "final_loss.low",
        "speedup.steps.mean",
        "speedup.flops.high",
        "bits_per_character.mean",
        "flops_per_token",
        "curve.3.losses.0",
        "curve.3.loss",
        "curve.3.flops",
        "curve.-1.losses.2",
    ],
)
def test_a_number_edited_by_hand_is_found(tmp_path, path):
    *keys, last = [int(key) if key.lstrip("-").isdigit() else key for key in path.split(".")]

    def edit(results):
        at(results["contestants"]["wavelet"], keys)[last] *= 1.001

    with pytest.raises(UserError, match=r"results\.json: contestants\.wavelet.* its curves give"):
        recompute(copy_with(tmp_path, DEMO, edit))


def test_a_claim_that_a_loss_was_reached_is_checked(tmp_path):
    folder = copy_with(tmp_path, TEXT, lambda r: r["contestants"]["wavelet"].update(reached=False))
    with pytest.raises(UserError, match="reached is False, the curves say otherwise"):
        recompute(folder)


@pytest.mark.parametrize(("factor", "fits"), [(1.05, True), (1.2, False)])
def test_mean_seconds_bound_what_was_recorded(tmp_path, factor, fits):
    def edit(results):
        results["contestants"]["wavelet"]["speedup"]["seconds"]["mean"] *= factor

    folder = copy_with(tmp_path, DEMO, edit)
    if fits:
        shown = recompute(folder).contestants["wavelet"].speedup["seconds"].mean
        assert shown == pytest.approx(5.5776 * factor, rel=1e-4)
    else:
        with pytest.raises(UserError, match=r"speedup\.seconds\.mean .*may differ by 10%"):
            recompute(folder)


def test_seconds_of_one_seed_are_exact(tmp_path):
    def edit(results):
        results["contestants"]["wavelet"]["speedup"]["seconds"]["mean"] *= 1.001

    with pytest.raises(UserError, match=r"speedup\.seconds\.mean"):
        recompute(copy_with(tmp_path, TEXT, edit))


def timed(results):
    """As a comparison writes it that times steps in turn."""
    clock = {"method": "alternating steps", "rounds": 7, "step_seconds": {}}
    for name, own in results["contestants"].items():
        seconds = own["curve"][-1]["seconds"] / own["curve"][-1]["steps"]
        clock["step_seconds"][name] = dict.fromkeys(("median", "shortest", "longest"), seconds)
        for point in own["curve"]:
            point["seconds"] = point["steps"] * seconds
    results["clock"] = clock


def test_seconds_of_a_clock_are_exact(tmp_path):
    with pytest.raises(UserError, match=r"speedup\.seconds\.mean is 8"):
        recompute(copy_with(tmp_path, TEXT, timed))  # the old speed-up is of the runs' seconds


def test_seconds_must_be_those_of_the_clock(tmp_path):
    def edit(results):
        timed(results)
        results["contestants"]["wavelet"]["curve"][3]["seconds"] *= 1.01

    with pytest.raises(UserError, match=r"wavelet\.curve\[3\]\.seconds"):
        recompute(copy_with(tmp_path, TEXT, edit))


def test_a_contestant_is_measured_against_its_own_baseline(tmp_path):
    def edit(results):
        own = results["contestants"]
        for name in ("wavelet", "short_conv"):
            own[name] = json.loads(json.dumps(own["none"])) | {"baseline": "short_conv"}
            own[name]["gain"] = {"mean": 0.0, "low": None, "high": None}

    contestants = recompute(copy_with(tmp_path, TEXT, edit)).contestants
    assert contestants["wavelet"].baseline == "short_conv"
    assert contestants["wavelet"].gain.mean == 0.0

    def break_(results):
        own = results["contestants"]["wavelet"]
        own["baseline"], own["gain"] = "plain", {"mean": 0.0, "low": None, "high": None}

    with pytest.raises(UserError, match="'plain'"):
        recompute(copy_with(tmp_path, TEXT, break_))


def test_a_gain_edited_by_hand_is_found(tmp_path):
    def edit(results):
        results["contestants"]["wavelet"]["gain"] = {"mean": 0.7, "low": None, "high": None}

    with pytest.raises(UserError, match=r"wavelet\.gain\.mean is 0\.7, but its curves give 0\.63"):
        recompute(copy_with(tmp_path, TEXT, edit))


def test_a_run_that_diverged_has_no_numbers(tmp_path):
    nothing = {"mean": None, "low": None, "high": None}

    def edit(results):
        own = results["contestants"]["wavelet"]
        own["curve"][-1].update(loss=None, losses=[None])
        own["final_loss"] = nothing
        own["bits_per"] = dict.fromkeys(own["bits_per"], nothing)
        own["speedup"] = dict.fromkeys(own["speedup"], nothing)

    own = recompute(copy_with(tmp_path, TEXT, edit)).contestants["wavelet"]
    assert own.final_loss.mean != own.final_loss.mean


def test_curves_have_a_loss_for_every_seed(tmp_path):
    with pytest.raises(UserError, match=r"none\.curve\[0\] has 3 losses for 2 seeds"):
        recompute(copy_with(tmp_path, DEMO, lambda results: results.update(seeds=[0, 1])))


def test_a_comparison_without_results_is_a_mistake(tmp_path):
    (tmp_path / "report.html").touch()
    with pytest.raises(UserError, match="there is no results file"):
        recompute(tmp_path)
