"""Runs survive damaged files, kills and full disks, or say in one line what is wrong."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

import latentwave.bench.training.run as run_module
from latentwave.bench.training import load_run, read_result, train
from latentwave.bench.training.checkpoint import list_checkpoints, newest_checkpoint
from latentwave.errors import UserError
from tests.bench.training.conftest import QUIET, losses, said_by
from tests.processes import ENVIRONMENT, run_processes

DEEP = 100_000


def flipped(path, place=0.5, bit=1):
    data = bytearray(path.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= bit
    path.write_bytes(data)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "flipped": flipped,
    "wrong JSON": lambda path: path.write_text('{"seed": ["x"], "files": 3, "curve": {"a": 1}}'),
    "deep JSON": lambda path: path.write_text("[" * DEEP + "]" * DEEP),
    "FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
}


# One file of each kind, and all files that are read again.
FEW = ["run.json", "result.json", "model/config.json", "model/manifest.json"]
UNFINISHED = ["run.json", "checkpoints/checkpoint-8/trainer_state.json"]


def state_of(run):
    return {name: tensor.tolist() for name, tensor in load_run(run)[0].state_dict().items()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_mended_or_named(damage, finished, run_one, tmp_path):
    """Each reader finds the same as in an intact run, or refuses in one line."""
    run, (whole, result) = tmp_path / "run", finished
    intact = [losses(result), losses(result), state_of(whole)]
    # The model is made again; an unfinished run goes on from its older checkpoint.
    for files, ended, least_mended in ((FEW, True, 2), (UNFINISHED, False, 1)):
        mended = 0
        for file in files:
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            if not ended:
                (run / "result.json").unlink()
                shutil.rmtree(run / "model")
            DAMAGES[damage](run / file)
            outcomes = [
                said_by(lambda: losses(run_one(run, resume=True))),
                said_by(lambda: losses(read_result(run))),
                said_by(lambda: state_of(run)),
            ]
            for outcome, wanted in zip(outcomes, intact, strict=True):
                refused = isinstance(outcome, str) and "\n" not in outcome
                assert outcome == wanted or refused, outcome
            mended += outcomes == intact
        assert least_mended <= mended < len(files)


class Killed(BaseException):
    """Like SIGKILL, not caught by anything."""


OPERATIONS = ["os.replace", "pathlib.Path.rename", "pathlib.Path.replace", "os.fsync"]


def kill_at(number, monkeypatch):
    """Raise `Killed` at the n-th file operation."""
    count = itertools.count(1)

    def wrapped(original):
        def operation(*arguments, **options):
            if next(count) == number:
                raise Killed
            return original(*arguments, **options)

        return operation

    for name in OPERATIONS:
        owner, _, attribute = name.rpartition(".")
        owner = os if owner == "os" else run_module.Path
        monkeypatch.setattr(owner, attribute, wrapped(getattr(owner, attribute)))
    # A killed process cleans nothing up.
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)


@pytest.mark.parametrize("number", [1, 6, 12, 20, 28])
def test_kills_at_operations_on_files(number, finished, run_one, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        kill_at(number, patch)
        with pytest.raises(Killed):
            run_one(folder, tensorboard=False)
    # The first operation comes before the record is complete.
    assert number > 1 or [path.name for path in folder.iterdir()] == ["run.json.partial"]
    assert losses(run_one(folder, resume=True, tensorboard=False)) == losses(finished[1])
    assert not list(folder.rglob("*.partial"))


CHECKPOINT_DAMAGES = {
    "flipped weights": lambda c: flipped(c / "state.safetensors"),
    "truncated": lambda c: os.truncate(c / "state.safetensors", 1000),
    "lost file": lambda c: (c / "trainer_state.json").unlink(),
    "flipped manifest": lambda c: flipped(c / "manifest.json"),
}


@pytest.mark.parametrize("damage", CHECKPOINT_DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage, interrupted):
    newest, older = list_checkpoints(interrupted)
    assert (newest.name, older.name) == ("checkpoint-8", "checkpoint-4")
    assert newest_checkpoint(interrupted) == newest
    CHECKPOINT_DAMAGES[damage](newest)
    with pytest.warns(UserWarning, match=r"checkpoint-8 is damaged.*going on from .*-4 instead"):
        assert newest_checkpoint(interrupted) == older
    CHECKPOINT_DAMAGES[damage](older)
    with pytest.raises(UserError, match=r"no checkpoint of this run is intact: .*-8.*-4.*delete"):
        newest_checkpoint(interrupted)


def test_checkpoints_hold_no_pickle(finished):
    for path in list_checkpoints(finished[0])[0].iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert list(load_file(path))


def test_a_damaged_model_is_made_again(finished, run_one, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "copy")
    flipped(run / "model" / "model.safetensors", 0.9)
    with pytest.raises(UserError, match=r"model.safetensors has changed.*--resume"):
        load_run(run)
    with pytest.warns(UserWarning, match="it is made again from the last checkpoint"):
        run_one(run, resume=True)
    assert state_of(run) == state_of(finished[0])


def test_a_result_of_another_run_is_refused(finished, run_one, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "copy")
    run_one(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "result.json", run)
    with pytest.raises(UserError, match=r"result.json is not of the run that run.json describes"):
        run_one(run, resume=True)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("safetensors.torch.serialize_file", SafetensorError("I/O error: File too large")),
        ("transformers.modeling_utils.safe_save_file", SafetensorError("I/O error: no space")),
        ("torch.utils.tensorboard.SummaryWriter.add_scalar", OSError(28, "No space left")),
        ("latentwave.bench.training.snapshots.write_durably", OSError(28, "No space left")),
        ("latentwave.bench.training.result.write_sealed", OSError(28, "No space left")),
    ],
)
def test_every_write_that_fails_is_one_line(
    target, error, run_one, finished, tmp_path, monkeypatch
):
    def refuse(*arguments, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(target, refuse)
        with pytest.raises(UserError, match=r"(space|large).*start.*--resume"):
            run_one(tmp_path / "run")
    assert not list(tmp_path.rglob(".*.partial"))
    assert losses(run_one(tmp_path / "run", resume=True)) == losses(finished[1])


def test_a_killed_process(finished, recipe_with, store, run_one, tmp_path):
    """One of two processes is killed: the other says so, and a single process ends the run."""
    run = tmp_path / "run"
    with pytest.raises(AssertionError, match=r"exit codes \[0, -9\]"):
        run_processes(2, _train_until_killed, tmp_path / "meeting", run, recipe_with(), store)
    said = json.loads((tmp_path / "said.json").read_text())
    assert "another process of this run has died or does not answer" in said["message"]
    assert "checkpoint-4: start again with --resume" in said["message"]
    assert said["seconds"] < 60
    assert not (run / "result.json").exists()
    resumed = run_one(run, resume=True).final_loss
    assert resumed == pytest.approx(finished[1].final_loss, rel=1e-5)


def _train_until_killed(rank, run, recipe, store):
    class Doomed(run_module.RunTrainer):
        def training_step(self, *arguments):
            if self.state.global_step == 6 and rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().training_step(*arguments)

    run_module.RunTrainer = Doomed
    begin = time.monotonic()
    with pytest.raises(UserError) as error:
        train(recipe, "learnable", 0, store, run, console=QUIET)
    said = {"message": str(error.value), "seconds": time.monotonic() - begin}
    (run.parent / "said.json").write_text(json.dumps(said))
    os._exit(0)  # nobody is left to say goodbye to


def command_line(recipe, run, *launcher):
    """What a user types to train, and the environment."""
    path = run.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.to_dict()))
    command = [sys.executable, *launcher, "-m", "latentwave", "train", str(path)]
    environment = ENVIRONMENT | {"LATENTWAVE_HOME": str(run.parent / "home")}
    return [*command, "--contestant", "learnable", "--output", str(run)], environment


def test_killed_in_the_middle_and_resumed(recipe_with, run_one, tmp_path):
    """kill -9 of a real process, then the same curve as without it."""
    steps, run = {"num_steps": 40, "save_every_steps": 2}, tmp_path / "killed"
    command, environment = command_line(recipe_with(**steps), run)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        while not list_checkpoints(run):
            assert process.poll() is None, "ended before its first checkpoint"
            time.sleep(0.02)
        process.kill()
    assert not (run / "result.json").exists()
    with pytest.raises(UserError, match=r"exists: choose another with --output, or.*--resume"):
        run_one(run, **steps)
    resumed = run_one(run, resume=True, **steps)
    assert losses(resumed) == losses(run_one(tmp_path / "whole", **steps))


@pytest.mark.slow
def test_a_killed_process_under_torchrun(recipe_with, run_one, tmp_path):
    """The same as users see it."""
    steps = {"num_steps": 400, "evaluate_every_steps": 10, "save_every_steps": 10}
    run = tmp_path / "run"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command, environment = command_line(recipe_with(**steps), run, *torchrun)
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(list_checkpoints(run)) < 2:
        assert launcher.poll() is None
        time.sleep(0.05)
    psutil.Process(launcher.pid).children()[-1].kill()
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert "another process of this run has died" in said or "terminated (SIGTERM)" in said
    assert "start again with --resume" in said
    resumed = subprocess.run([*command, "--resume"], env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr
    expected = run_one(tmp_path / "whole", **steps).final_loss
    assert read_result(run).final_loss == pytest.approx(expected, rel=1e-4)
