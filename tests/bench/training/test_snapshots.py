import itertools

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import TrainerCallback

import latentwave.bench.training.run as run_module
from latentwave.bench.data import prepare
from latentwave.bench.training import ContestantConfig, train
from latentwave.bench.training.snapshots import (
    MOST_SNAPSHOTS,
    list_snapshots,
    read_snapshot,
    snapshot_steps,
)
from latentwave.errors import UserError
from tests.processes import run_processes
from tests.tiny import tiny_recipe, write_text

CONTESTANTS = {
    "none": ContestantConfig(),
    "wavelet": ContestantConfig(kind="wavelet"),
    "learnable": ContestantConfig(kind="learnable_wavelet"),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="module")
def store(text, tmp_path_factory):
    return prepare(tiny_recipe(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def finished(text, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run_one(text, store, folder)
    return folder


def recipe(text, **training):
    return tiny_recipe(text, contestants=CONTESTANTS, training=training)


def run_one(text, store, folder, contestant="learnable", resume=False, **training):
    console = Console(quiet=True)
    return train(
        recipe(text, **training), contestant, 0, store, folder, resume=resume, console=console
    )


@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 22, 23, 24, 25, 40, 333, 10_000])
def test_few_steps_are_chosen_dense_at_first(every, count):
    steps = snapshot_steps(count * every, every)
    assert steps[0] == 0
    assert steps[-1] == count * every
    assert len(steps) == min(count + 1, MOST_SNAPSHOTS)
    assert all(step % every == 0 for step in steps)
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert min(gaps) > 0
    assert gaps[0] == every


def test_the_last_snapshot_is_the_finished_model(finished):
    snapshots = list_snapshots(finished)
    assert list(snapshots) == [0, 2, 4, 6, 8]
    weights = load_file(finished / "model" / "model.safetensors")
    last = read_snapshot(snapshots[8])
    assert last
    assert set(last) == {name for name in weights if name.endswith("mixer.kernels")}
    for name, tensor in last.items():
        assert torch.equal(tensor, weights[name])
        assert not torch.equal(tensor, read_snapshot(snapshots[0])[name])


def test_without_parameters_there_are_no_snapshots(text, store, tmp_path):
    run_one(text, store, tmp_path / "run", contestant="wavelet")
    assert not (tmp_path / "run" / "mixers").exists()


def test_resumed_equals_uninterrupted(text, store, finished, tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    class StopAfter(TrainerCallback):
        def on_evaluate(self, args, state, control, **_):
            if state.global_step == 6:
                raise StopError

    # It stops at an evaluation behind the checkpoint of step 4, before that one's snapshot.
    reports = run_module._reports
    monkeypatch.setattr(run_module, "_reports", lambda *a: [*reports(*a), StopAfter()])
    folder = tmp_path / "run"
    with pytest.raises(StopError):
        run_one(text, store, folder)
    assert list(list_snapshots(folder)) == [0, 2, 4, 6]
    (folder / "mixers" / "step-8.safetensors").write_bytes(b"of a run that went another way")
    (folder / "mixers" / "step-9.safetensors.partial").write_bytes(b"half")
    monkeypatch.setattr(run_module, "_reports", reports)
    run_one(text, store, folder, resume=True)
    assert {p.name for p in (folder / "mixers").iterdir()} == {
        p.name for p in (finished / "mixers").iterdir()
    }
    for step, path in list_snapshots(folder).items():
        assert path.read_bytes() == list_snapshots(finished)[step].read_bytes()


def test_a_damaged_snapshot_is_named(tmp_path):
    path = tmp_path / "step-3.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"step-3.safetensors cannot be read"):
        read_snapshot(path)


def train_in_process(rank, text, store_folder, folder, engine):
    store = prepare(tiny_recipe(text).corpus, store_folder)
    run_one(text, store, folder, engine=engine)


@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
def test_two_processes_write_what_one_writes(text, store, finished, tmp_path, engine):
    folder = tmp_path / "run"
    run_processes(2, train_in_process, tmp_path / "meet", text, store.folder, folder, engine)
    snapshots = list_snapshots(folder)
    assert list(snapshots) == list(list_snapshots(finished))
    for step, path in snapshots.items():
        alone = read_snapshot(list_snapshots(finished)[step])
        together = read_snapshot(path)
        assert set(together) == set(alone)
        for name, tensor in together.items():
            torch.testing.assert_close(tensor, alone[name], rtol=1e-4, atol=1e-5)
