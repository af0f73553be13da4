import dataclasses
import json
import math
import shutil

import pytest
import torch

from latentwave.bench.comparison import Estimate, compare, read_results
from latentwave.bench.comparison.results import Speedups
from latentwave.bench.training import ContestantConfig
from latentwave.bench.training.contestant import MixerEntry
from latentwave.errors import UserError
from tests.bench.comparison.conftest import QUIET


def test_results_fit_together(compared):
    recipe, _, folder, results = compared
    assert read_results(folder) == results
    assert results.seeds == [0, 1]
    assert results.recipe == recipe.to_dict()
    assert results.command == "latentwave compare x"
    assert torch.__version__.startswith(results.environment.versions["torch"])
    assert list(results.contestants) == ["none", "wavelet"]
    for contestant in results.contestants.values():
        final = contestant.final_loss
        assert final.low <= final.mean <= final.high
        assert contestant.bits_per["character"].mean == pytest.approx(final.mean / math.log(2))
        assert contestant.curve[-1].loss == pytest.approx(final.mean)
        assert len(contestant.curve[0].losses) == 2
        assert contestant.tokens_per_second > 0
        assert contestant.peak_memory_bytes > 8 * contestant.num_parameters
    none, wavelet = results.contestants["none"], results.contestants["wavelet"]
    assert none.decoding.mixer_state_bytes == 0 < wavelet.decoding.mixer_state_bytes
    assert none.gain == Estimate(mean=0.0, low=0.0, high=0.0)
    assert results.statistics.mean_of_ratios == "geometric"
    one = Estimate(mean=1.0, low=1.0, high=1.0)
    assert none.speedup == Speedups(steps=one, flops=one, seconds=one)
    assert none.reached


def test_finished_runs_are_reused_when_seeds_are_added(compared):
    recipe, store, folder, results = compared
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    more = dataclasses.replace(recipe, seeds=[0, 1, 2])
    extended = compare(more, store, folder, resume=True, console=QUIET)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    curve = extended.contestants["wavelet"].curve
    assert [p.losses[:2] for p in curve] == [p.losses for p in results.contestants["wavelet"].curve]


def test_a_finished_run_of_another_recipe_is_refused(compared, tmp_path):
    recipe, store, folder, _ = compared
    shutil.copytree(folder, tmp_path / "out")
    training = dataclasses.replace(recipe.training, num_steps=12)
    longer = dataclasses.replace(recipe, training=training)
    larger = dataclasses.replace(recipe, training=dataclasses.replace(training, batch_size=8))
    (tmp_path / "out" / "clock.json").unlink()
    for other, message in (
        (longer, r"none-seed0 .* training \(num_steps 8 there, 12 here\)"),
        (larger, r"none-seed0 .* batch_size 4 there, 8 here"),
    ):
        with pytest.raises(UserError, match=message):
            compare(other, store, tmp_path / "out", resume=True)
    assert not (tmp_path / "out" / "clock.json").exists()  # refused before steps were timed


def test_steps_are_timed_again_only_where_the_timing_is_damaged(compared, tmp_path):
    recipe, store, folder, results = compared
    copy = tmp_path / "out"
    shutil.copytree(folder, copy)
    # These settings do not change how long a step takes.
    training = dataclasses.replace(recipe.training, tensorboard=False, timeout_seconds=5)
    quiet = dataclasses.replace(recipe, training=training)
    assert compare(quiet, store, copy, resume=True, console=QUIET).clock == results.clock
    clock = json.loads((copy / "clock.json").read_text())
    clock["values"]["step_seconds"] = {"none": [1.0]}
    (copy / "clock.json").write_text(json.dumps(clock))
    (copy / "wavelet-seed0" / "result.json").unlink()
    again = compare(recipe, store, copy, resume=True, console=QUIET)
    for name, contestant in again.contestants.items():
        assert contestant.final_loss.mean == results.contestants[name].final_loss.mean


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("mine"),
        lambda path: (path.mkdir(), (path / "thesis.tex").touch()),
        lambda path: (path.mkdir(), (path / "run.json").touch(), (path / "checkpoints").mkdir()),
    ],
    ids=["file", "folder", "run"],
)
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_left_alone(compared, tmp_path, make, resume):
    recipe, store, *_ = compared
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="out exists and is not a comparison of latentwave"):
        compare(recipe, store, tmp_path / "out", resume=resume)
    assert sorted(tmp_path.rglob("*")) == before


def test_refusals_come_before_any_training(compared, tmp_path):
    recipe, store, *_ = compared
    wavelet = ContestantConfig(kind="wavelet")
    listed = ContestantConfig(mixers=[MixerEntry(kind="wavelet")])
    late = ContestantConfig(kind="wavelet", options={"level": 9})
    for contestants, message in (
        ({"wavelet": wavelet}, "contestant 'none'"),
        ({"none": wavelet}, "must have no mixer"),
        ({"none": listed}, "must have no mixer"),
        (recipe.contestants | {"late": late}, "got 9"),
    ):
        with pytest.raises(UserError, match=message):
            compare(dataclasses.replace(recipe, contestants=contestants), store, tmp_path / "out")
    # Counting the costs of such a context would take all of the memory.
    long = dataclasses.replace(recipe.backbone, context_length=100_000)
    with pytest.raises(UserError, match="fewer than one window of 100000"):
        compare(dataclasses.replace(recipe, backbone=long), store, tmp_path / "out")
    assert not (tmp_path / "out").exists()
