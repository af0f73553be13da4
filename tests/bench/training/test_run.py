import dataclasses
import io
import json
import math
import shutil
import time
import warnings

import pytest
import torch
from rich.progress import Progress
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoTokenizer

from latentwave.bench.data import GridWindows
from latentwave.bench.training import (
    check_folder,
    evaluate_loss,
    load_run,
    progress,
    read_result,
    train,
)
from latentwave.bench.training.checkpoint import checkpoint_step
from latentwave.bench.training.progress import PlainConsole
from latentwave.bench.training.result import read_record
from latentwave.errors import UserError
from tests.bench.training.conftest import losses
from tests.comparing import assert_differ


def test_a_run_learns_and_records(finished):
    folder, result = finished
    assert [point.step for point in result.curve] == [0, 2, 4, 6, 8]
    assert result.final_loss == result.curve[-1].loss < result.curve[0].loss
    assert result.tokens == 8 * 4 * 32
    assert result.diverged_at is None
    seconds = [point.seconds for point in result.curve]
    assert seconds == sorted(seconds)
    assert seconds[0] < 1e-2 < seconds[-1] + 1
    assert read_result(folder) == result
    assert list((folder / "tensorboard").iterdir())
    recorded = json.loads((folder / "run.json").read_text())
    assert torch.__version__.startswith(recorded["environment"]["versions"]["torch"])
    assert recorded["seed"] == 0


def test_the_saved_model_has_the_final_loss(finished, store):
    folder, result = finished
    model, codec = load_run(folder)
    grid = GridWindows(store.split("validation"), 32, 8)
    assert evaluate_loss(model, grid, batch_size=3) == pytest.approx(result.final_loss, rel=1e-5)
    assert codec.tokenizer.decode(codec.encode_prompt("wave mask")) == "wave mask"
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer("wave mask")["input_ids"] == codec.encode_prompt("wave mask").tolist()


def test_same_seed_same_curve_other_seed_other_curve(finished, run_one, tmp_path):
    _, result = finished
    assert losses(run_one(tmp_path / "a")) == losses(result)
    assert_differ(run_one(tmp_path / "b", seed=1).final_loss, result.final_loss)


@pytest.mark.parametrize("kept", [[4], []])
def test_tensorboard_shows_a_resumed_curve_once(kept, interrupted, run_one):
    for path in (interrupted / "checkpoints").iterdir():
        if checkpoint_step(path) not in kept:
            shutil.rmtree(path)
    run_one(interrupted, resume=True)
    events = EventAccumulator(str(interrupted / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("eval/loss")] == [0, 2, 4, 6, 8]


def test_a_finished_run_is_taken_as_it_is(finished, run_one):
    folder, result = finished
    before = (folder / "result.json").stat().st_mtime_ns
    assert run_one(folder, resume=True) == result
    assert (folder / "result.json").stat().st_mtime_ns == before


def test_resuming_with_another_recipe_is_refused(finished, run_one):
    folder, _ = finished
    with pytest.raises(UserError, match=r"another training \(batch_size 4 there, 5 here\): choose"):
        run_one(folder, resume=True, batch_size=5)
    with pytest.raises(UserError, match="another contestant and seed and mixers: choose"):
        run_one(folder, "none", 1, resume=True)


def test_a_changed_corpus_is_named_and_a_moved_one_is_the_same(finished):
    record = read_record(finished[0])
    corpus = record["corpus"]

    def check(config, **changes):
        changed = corpus | {"config": corpus["config"] | config} | changes
        check_folder(finished[0], record | {"corpus": changed})

    moved = {"path": "/elsewhere"}
    check(moved)
    message = rf"another corpus \(config.validation {corpus['config']['validation']} there, 0.5"
    with pytest.raises(UserError, match=message):
        check(moved | {"validation": 0.5})
    with pytest.raises(UserError, match="sha256 .* there, other here"):
        check(moved, sha256="other")


def test_what_may_change_when_a_run_is_resumed(interrupted, run_one):
    changed = {"engine": "fsdp2", "gradient_accumulation_steps": 2, "timeout_seconds": 5}
    assert len(run_one(interrupted, resume=True, **changed).curve) == 5
    with pytest.raises(UserError, match="another training"):
        run_one(interrupted, resume=True, precision="bfloat16")


def test_refusals_leave_no_folder(recipe_with, run_one, store, tmp_path):
    recipe = recipe_with()
    long = dataclasses.replace(recipe.backbone, context_length=100_000)
    with pytest.raises(UserError, match="100000"):
        train(dataclasses.replace(recipe, backbone=long), "none", 0, store, tmp_path / "run")
    with pytest.raises(UserError, match="num_warmup_steps=8 is too long"):
        run_one(tmp_path / "run", num_warmup_steps=8)
    assert not (tmp_path / "run").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not a run of latentwave"):
        run_one(tmp_path / "other", resume=True)


@pytest.mark.parametrize(
    "sizes",
    [{"hidden_size": 10**6}, {"intermediate_size": 10**7, "num_layers": 10_000}, {"batch": 10**9}],
    ids=str,
)
def test_what_the_machine_cannot_hold_is_refused_before_it_is_built(
    sizes, recipe_with, store, tmp_path
):
    recipe = recipe_with(batch_size=sizes.pop("batch", 4))
    large = dataclasses.replace(recipe, backbone=dataclasses.replace(recipe.backbone, **sizes))
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"need at least [\d,]+\.\d GiB, this machine has"):
        train(large, "none", 0, store, tmp_path / "run")
    assert time.monotonic() - begin < 5


def test_a_run_that_diverges_ends_early_and_says_so(run_one, tmp_path):
    options = {"learning_rate": 1e8, "num_warmup_steps": 0}
    result = run_one(tmp_path / "run", **options)
    assert result.diverged_at == 2
    assert result.tokens == 2 * 4 * 32
    assert [point.step for point in result.curve] == [0, 2, 4, 6, 8]
    assert all(point.tokens == point.step * 4 * 32 for point in result.curve)
    # Steps that were not taken have no time, hence no speed.
    assert [math.isfinite(point.seconds) for point in result.curve] == [True] * 2 + [False] * 3
    assert not (tmp_path / "run" / "model").exists()
    with pytest.raises(UserError, match="diverged at step 2"):
        load_run(tmp_path / "run")
    assert run_one(tmp_path / "run", resume=True, **options).diverged_at == 2


def test_a_warning_leaves_the_bar_whole(monkeypatch):
    """Another console would print after the bar, in its line."""
    shown = io.StringIO()
    monkeypatch.setattr(progress, "ERR", PlainConsole(file=shown, force_terminal=True))
    monkeypatch.setattr(warnings, "showwarning", progress.show_warning)
    with Progress(console=progress.ERR) as bar:
        bar.add_task("a run")
        warnings.showwarning(UserWarning("this is\nodd"), UserWarning, "file.py", 1)
    before, _, after = shown.getvalue().partition("latentwave: warning: this is odd\n")
    assert before.endswith("\x1b[2K"), "the bar is cleared first"
    assert "a run" in after
