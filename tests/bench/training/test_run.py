import dataclasses
import json
import subprocess
import sys
import time

import pytest
import torch
from rich.console import Console
from transformers import AutoTokenizer, TrainerCallback

import latentwave.bench.training.run as run_module
from latentwave.bench.data import GridWindows, prepare
from latentwave.bench.training import (
    evaluate_loss,
    list_checkpoints,
    load_run,
    newest_checkpoint,
    read_result,
    train,
)
from latentwave.bench.training.curve import read_curve
from latentwave.errors import UserError
from tests.comparing import assert_differ
from tests.processes import ENVIRONMENT
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="module")
def store(text, tmp_path_factory):
    return prepare(tiny_recipe(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def finished(text, store, tmp_path_factory):
    """One uninterrupted run that several tests look at."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, train(tiny_recipe(text), "wavelet", 0, store, folder, console=quiet())


def quiet():
    return Console(quiet=True)


def losses(result):
    return [(point.step, point.tokens, point.loss) for point in result.curve]


def test_a_run_learns_and_records(finished, store):
    folder, result = finished
    assert [point.step for point in result.curve] == [0, 2, 4, 6, 8]
    assert result.final_loss == result.curve[-1].loss < result.curve[0].loss
    assert result.tokens == 8 * 4 * 32
    seconds = [point.seconds for point in result.curve]
    assert seconds == sorted(seconds)
    assert seconds[0] < 1e-2 < seconds[-1] + 1
    assert read_result(folder) == result
    assert list((folder / "tensorboard").iterdir())
    recorded = json.loads((folder / "run.json").read_text())
    assert recorded["environment"]["versions"]["torch"] == torch.__version__
    assert recorded["seed"] == 0


def test_the_saved_model_has_the_final_loss(finished, store):
    folder, result = finished
    model, codec = load_run(folder)
    grid = GridWindows(store.split("validation"), 32, 8)
    assert evaluate_loss(model, grid, batch_size=3) == pytest.approx(result.final_loss, rel=1e-5)
    assert codec.tokenizer.decode(codec.encode_prompt("wave mask")) == "wave mask"
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer("wave mask")["input_ids"] == codec.encode_prompt("wave mask").tolist()


def test_same_seed_same_curve_other_seed_other_curve(finished, text, store, tmp_path):
    _, result = finished
    same = train(tiny_recipe(text), "wavelet", 0, store, tmp_path / "a", console=quiet())
    other = train(tiny_recipe(text), "wavelet", 1, store, tmp_path / "b", console=quiet())
    assert losses(same) == losses(result)
    assert_differ(other.final_loss, result.final_loss)


def test_documents_are_kept_apart_if_asked(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(300):
        write_text(folder / f"{index:03}.txt", num_words=9, seed=index)
    recipe = tiny_recipe(folder, training={"separate_documents": True})
    store = prepare(recipe.corpus)
    result = train(recipe, "wavelet", 0, store, tmp_path / "run", console=quiet())
    model, _ = load_run(tmp_path / "run")
    grid, borders = store.split("validation"), store.borders("validation")
    apart = evaluate_loss(model, GridWindows(grid, 32, 8, borders))
    assert apart == pytest.approx(result.final_loss, rel=1e-5)
    assert apart != pytest.approx(evaluate_loss(model, GridWindows(grid, 32, 8)), rel=1e-4)


class Crash(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 7:
            raise RuntimeError("power cut")


def test_an_interrupted_run_resumes_to_the_same_curve(finished, text, store, tmp_path, monkeypatch):
    _, uninterrupted = finished
    with monkeypatch.context() as patch:
        progress = run_module.ProgressCallback

        class Crashing(Crash, progress):
            pass

        patch.setattr(run_module, "ProgressCallback", Crashing)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny_recipe(text), "wavelet", 0, store, tmp_path / "run", console=quiet())
    assert newest_checkpoint(tmp_path / "run").name == "checkpoint-4"
    path = tmp_path / "run" / "curve.jsonl"
    assert [p.step for p in read_curve(path)] == [0, 2, 4, 6]
    # What lies behind the checkpoint is measured again, not believed.
    *kept, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*kept, json.dumps(json.loads(last) | {"loss": 99.0}) + "\n"]))

    with pytest.raises(UserError, match=r"exists: choose another with --output, or.*--resume"):
        train(tiny_recipe(text), "wavelet", 0, store, tmp_path / "run", console=quiet())
    resumed = train(
        tiny_recipe(text), "wavelet", 0, store, tmp_path / "run", resume=True, console=quiet()
    )
    assert losses(resumed) == losses(uninterrupted)


def test_killed_in_the_middle_and_resumed(text, tmp_path):
    """kill -9 of a real process, then the same curve as without it."""
    recipe = tiny_recipe(
        text, training={"num_steps": 40, "evaluate_every_steps": 2, "save_every_steps": 2}
    )
    script = """
import json, pathlib, sys
from latentwave.bench.data import prepare
from latentwave.bench.training import recipe_from_dict, train
recipe = recipe_from_dict(json.loads(sys.argv[1]))
train(recipe, "wavelet", 0, prepare(recipe.corpus, pathlib.Path(sys.argv[3])),
      pathlib.Path(sys.argv[2]), resume=True)
"""
    arguments = [sys.executable, "-c", script, json.dumps(recipe.to_dict())]
    folder, store = tmp_path / "killed", str(tmp_path / "store")
    process = subprocess.Popen(
        [*arguments, str(folder), store],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    while not list_checkpoints(folder):
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (folder / "result.json").exists()
    for run in (folder, tmp_path / "whole"):
        subprocess.run(
            [*arguments, str(run), store], check=True, capture_output=True, env=ENVIRONMENT
        )
    assert losses(read_result(folder)) == losses(read_result(tmp_path / "whole"))


def test_a_finished_run_is_taken_as_it_is(finished, text, store):
    folder, result = finished
    before = (folder / "result.json").stat().st_mtime_ns
    again = train(tiny_recipe(text), "wavelet", 0, store, folder, resume=True, console=quiet())
    assert again == result
    assert (folder / "result.json").stat().st_mtime_ns == before


def test_resuming_with_another_recipe_is_refused(finished, text, store):
    folder, _ = finished
    other = dataclasses.replace(
        tiny_recipe(text), training=tiny_recipe(text, training={"batch_size": 5}).training
    )
    with pytest.raises(UserError, match=r"another training \(batch_size 4 there, 5 here\): choose"):
        train(other, "wavelet", 0, store, folder, resume=True)
    with pytest.raises(
        UserError, match=r"another contestant and seed and mixer \(kind wavelet there, None here\)"
    ):
        train(tiny_recipe(text), "none", 1, store, folder, resume=True)


def test_refusals_leave_no_folder(text, store, tmp_path):
    recipe = tiny_recipe(text)
    long = dataclasses.replace(recipe.backbone, context_length=100_000)
    with pytest.raises(UserError, match="100000"):
        train(dataclasses.replace(recipe, backbone=long), "none", 0, store, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not a run of latentwave"):
        train(recipe, "none", 0, store, tmp_path / "other", resume=True)


def test_a_curve_that_was_cut_off_in_writing(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_text('{"step": 0, "tokens": 0, "seconds": 0.0, "loss": 3.0}\n{"step": 2, "tok')
    assert [point.step for point in read_curve(path)] == [0]


def test_progress_lines_without_a_terminal(text, store, tmp_path, capsys):
    train(tiny_recipe(text), "none", 0, store, tmp_path / "run")
    err = capsys.readouterr().err
    assert "none, seed 0: step 8/8, loss" in err
    assert "tokens/s" in err
