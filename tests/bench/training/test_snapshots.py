import itertools

import pytest
import torch
from safetensors.torch import load_file

from latentwave.bench.training.snapshots import (
    MOST_SNAPSHOTS,
    list_snapshots,
    read_snapshot,
    snapshot_steps,
)
from latentwave.errors import UserError


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("count", [1, 23, 24, 25, 333, 10_000])
def test_few_steps_are_chosen_dense_at_first(every, count):
    steps = snapshot_steps(count * every, every)
    assert (steps[0], steps[-1]) == (0, count * every)
    assert len(steps) <= MOST_SNAPSHOTS
    assert count >= MOST_SNAPSHOTS or len(steps) == count + 1
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert min(gaps) == gaps[0] == every


def test_the_last_snapshot_is_the_finished_model(finished):
    folder, _ = finished
    snapshots = list_snapshots(folder)
    assert list(snapshots) == [0, 2, 4, 6, 8]
    weights = load_file(folder / "model" / "model.safetensors")
    last = read_snapshot(snapshots[8])
    assert last
    assert set(last) == {name for name in weights if name.endswith("mixer.kernels")}
    for name, tensor in last.items():
        assert torch.equal(tensor, weights[name])
        assert not torch.equal(tensor, read_snapshot(snapshots[0])[name])


def test_without_parameters_there_are_no_snapshots(run_one, tmp_path):
    run_one(tmp_path / "run", contestant="wavelet", tensorboard=False)
    assert not (tmp_path / "run" / "mixers").exists()


def test_a_resumed_run_writes_the_same(finished, interrupted, run_one):
    mixers = interrupted / "mixers"
    for name in ("step-6.safetensors", "step-8.safetensors", "step-9.safetensors.partial"):
        (mixers / name).write_bytes(b"of a run that went another way")
    (interrupted / "checkpoints" / "checkpoint-8").rename(interrupted / "checkpoints" / "lost")
    run_one(interrupted, resume=True)
    expected = list_snapshots(finished[0])
    assert {path.name for path in mixers.iterdir()} == {path.name for path in expected.values()}
    for step, path in list_snapshots(interrupted).items():
        assert path.read_bytes() == expected[step].read_bytes()


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(b"nothing"), lambda path: path.mkdir()]
)
def test_a_damaged_snapshot_is_named(make, tmp_path):
    path = tmp_path / "step-3.safetensors"
    make(path)
    with pytest.raises(UserError, match=r"step-3.safetensors cannot be read"):
        read_snapshot(path)
