"""What can go wrong with a run: killed processes, damaged files, full disks."""

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file

import latentwave.bench.training.run as run_module
from latentwave.bench.data import prepare
from latentwave.bench.training import list_checkpoints, newest_checkpoint, read_result, train
from latentwave.bench.training.curve import read_curve
from latentwave.errors import UserError
from tests.processes import ENVIRONMENT, run_processes
from tests.tiny import tiny_recipe, write_text


def quiet():
    return Console(quiet=True)


def losses(folder):
    return [point.loss for point in read_result(folder).curve]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="module")
def store(text, tmp_path_factory):
    return prepare(tiny_recipe(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def whole(text, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny_recipe(text), "wavelet", 0, store, folder, console=quiet())
    return folder


@pytest.fixture
def interrupted(whole, tmp_path):
    """A run with two checkpoints and no end."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "model")
    (folder / "result.json").unlink()
    return folder


def flip_bit(path, place):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


DAMAGES = {
    "flipped weights": lambda c: flip_bit(next(c.glob("*.safetensors")), 0.5),
    "flipped optimizer": lambda c: flip_bit(next(c.glob("*.safetensors")), 0.999),
    "flipped header": lambda c: flip_bit(next(c.glob("*.safetensors")), 0.01),
    "flipped schedule": lambda c: flip_bit(c / "scheduler.json", 0.5),
    "truncated": lambda c: os.truncate(next(c.glob("*.safetensors")), 1000),
    "lost file": lambda c: (c / "trainer_state.json").unlink(),
    "lost manifest": lambda c: (c / "manifest.json").unlink(),
    "flipped manifest": lambda c: replace(c / "manifest.json", '"step": ', '"step": 1'),
    "flipped file name": lambda c: replace(c / "manifest.json", "rng-0", "rng-1"),
    "no JSON": lambda c: (c / "manifest.json").write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage, interrupted):
    newest, older = list_checkpoints(interrupted)
    assert (newest.name, older.name) == ("checkpoint-8", "checkpoint-4")
    assert newest_checkpoint(interrupted) == newest
    DAMAGES[damage](newest)
    with pytest.warns(UserWarning, match=r"checkpoint-8 is damaged.*going on from .*-4 instead"):
        assert newest_checkpoint(interrupted) == older
    DAMAGES[damage](older)
    with pytest.raises(UserError, match=r"no checkpoint of this run is intact: .*-8.*-4.*delete"):
        newest_checkpoint(interrupted)


def test_the_older_checkpoint_gives_the_same_curve(interrupted, whole, text, store):
    flip_bit(next(list_checkpoints(interrupted)[0].glob("*.safetensors")), 0.7)
    with pytest.warns(UserWarning, match="is damaged"):
        train(tiny_recipe(text), "wavelet", 0, store, interrupted, resume=True, console=quiet())
    assert losses(interrupted) == losses(whole)
    assert newest_checkpoint(interrupted).name == "checkpoint-8"


def test_checkpoints_hold_no_pickle(whole):
    for path in list_checkpoints(whole)[0].iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert list(load_file(path))


def limit_files():
    # Less than a checkpoint, more than every other file; Python turns the signal into an error.
    resource.setrlimit(resource.RLIMIT_FSIZE, (48_000, 48_000))


def test_a_disk_that_takes_no_more(interrupted, whole, text, store, tmp_path):
    """The old checkpoint stays, one line says what happened, and the run can go on."""
    shutil.rmtree(interrupted / "checkpoints" / "checkpoint-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_recipe(text).to_dict()))
    home = tmp_path / "home"
    prepare_it = [sys.executable, "-m", "latentwave", "prepare", str(text)]
    environment = ENVIRONMENT | {"LATENTWAVE_HOME": str(home)}
    subprocess.run(prepare_it, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "latentwave", "train", str(recipe)]
    command += ["--output", str(interrupted), "--resume"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=limit_files
    )
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("latentwave: error: cannot write ")
    assert "checkpoint-8: File too large; the last checkpoint is " in last
    assert "Traceback" not in done.stderr
    assert [path.name for path in (interrupted / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert newest_checkpoint(interrupted).name == "checkpoint-4"
    train(tiny_recipe(text), "wavelet", 0, store, interrupted, resume=True, console=quiet())
    assert losses(interrupted) == losses(whole)


def test_a_disk_that_does_not_take_the_model(whole, text, store, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "result.json").unlink()
    shutil.rmtree(run / "model")

    def refuse(*arguments, **options):
        raise SafetensorError("I/O error: File too large (os error 27)")

    with monkeypatch.context() as patch:
        patch.setattr("transformers.modeling_utils.safe_save_file", refuse)
        with pytest.raises(UserError, match=r"cannot write .*run/model .*File too large.*--resume"):
            train(tiny_recipe(text), "wavelet", 0, store, run, resume=True, console=quiet())
    assert not (run / "model").exists()
    train(tiny_recipe(text), "wavelet", 0, store, run, resume=True, console=quiet())
    assert losses(run) == losses(whole)


def test_a_run_that_was_killed_at_its_very_beginning(text, store, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.partial").write_text('{"contes')
    train(tiny_recipe(text), "wavelet", 0, store, tmp_path / "run", resume=True, console=quiet())
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_killed_process(whole, text, store, tmp_path):
    """Of two processes one is killed: the other says so, and one alone takes the run to its end."""
    run = tmp_path / "run"
    with pytest.raises(AssertionError, match=r"exit codes \[0, -9\]"):
        run_processes(2, _train_until_killed, tmp_path / "meeting", run, text, store)
    said = json.loads((tmp_path / "said.json").read_text())
    assert "another process of this run has died or does not answer" in said["message"]
    assert "checkpoint-4: start again with --resume" in said["message"]
    assert said["seconds"] < 60
    assert not (run / "result.json").exists()
    train(tiny_recipe(text), "wavelet", 0, store, run, resume=True, console=quiet())
    assert losses(run) == pytest.approx(losses(whole), rel=1e-5)


def _train_until_killed(rank, run, text, store):
    class Doomed(run_module.EngineTrainer):
        def training_step(self, *arguments):
            if self.state.global_step == 6 and rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().training_step(*arguments)

    run_module.EngineTrainer = Doomed
    begin = time.monotonic()
    with pytest.raises(UserError) as error:
        train(tiny_recipe(text), "wavelet", 0, store, run, console=quiet())
    said = {"message": str(error.value), "seconds": time.monotonic() - begin}
    (run.parent / "said.json").write_text(json.dumps(said))
    os._exit(0)  # nobody is left to say goodbye to


@pytest.mark.slow
def test_a_killed_process_under_torchrun(text, store, tmp_path):
    """As a user meets it."""
    steps = {"num_steps": 400, "evaluate_every_steps": 10, "save_every_steps": 10}
    recipe = tiny_recipe(text, training=steps)
    path, run = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(recipe.to_dict()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "latentwave", "train", str(path), "--output", str(run)]
    environment = ENVIRONMENT | {"LATENTWAVE_HOME": str(tmp_path / "home")}
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(list_checkpoints(run)) < 2:
        assert launcher.poll() is None
        time.sleep(0.05)
    children = subprocess.run(
        ["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert "another process of this run has died" in said or "terminated (SIGTERM)" in said
    assert "start again with --resume" in said
    resumed = subprocess.run([*command, "--resume"], env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr
    train(recipe, "wavelet", 0, store, tmp_path / "whole", console=quiet())
    assert losses(run) == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_what_may_change_when_a_run_is_resumed(interrupted, text, store):
    changed = {"engine": "fsdp2", "gradient_accumulation_steps": 2, "timeout_seconds": 5}
    recipe = tiny_recipe(text, training=changed)
    path = interrupted / "run.json"
    record = json.loads(path.read_text())
    for name in (*changed, "precision"):  # as older versions wrote it
        del record["training"][name]
    path.write_text(json.dumps(record))
    train(recipe, "wavelet", 0, store, interrupted, resume=True, console=quiet())
    other = tiny_recipe(text, training={"precision": "bfloat16"})
    with pytest.raises(UserError, match="another training"):
        train(other, "wavelet", 0, store, interrupted, resume=True, console=quiet())
    assert len(read_curve(interrupted / "curve.jsonl")) == 5
    assert dataclasses.asdict(recipe.training) != record["training"]
