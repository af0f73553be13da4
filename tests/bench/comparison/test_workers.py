"""Runs side by side give what runs one after the other give, and survive being killed."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from filelock import FileLock
from rich.console import Console

from latentwave.bench.comparison import Workers, compare
from latentwave.bench.data import prepare
from latentwave.bench.training import ContestantConfig, describe_run, train
from latentwave.bench.training.result import open_folder
from latentwave.errors import UserError
from tests.processes import ENVIRONMENT
from tests.tiny import tiny_recipe, write_text

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    base = tmp_path_factory.mktemp("workers")
    recipe = tiny_recipe(write_text(base / "words.txt"), seeds=[0, 1])
    return recipe, prepare(recipe.corpus, base / "store")


@pytest.fixture(scope="module")
def serial(experiment, tmp_path_factory):
    return compare(*experiment, tmp_path_factory.mktemp("serial") / "out", console=QUIET)


def losses(results):
    return {
        name: [point.losses for point in contestant.curve]
        for name, contestant in results.contestants.items()
    }


def close(results, reference):
    for name, points in losses(reference).items():
        for own, expected in zip(losses(results)[name], points, strict=True):
            # Another number of threads sums in another order.
            assert own == pytest.approx(expected, abs=1e-4)


@contextlib.contextmanager
def refusing(recipe, store, folder):
    """A run that another process trains; gives what is said of it."""
    run = folder / "wavelet-seed1"
    open_folder(run, describe_run(recipe, "wavelet", 1, store), resume=False)
    with FileLock(run / ".lock"):
        yield "another process is training in .*wavelet-seed1"


@pytest.mark.slow
def test_processes_give_what_one_process_gives(experiment, serial, tmp_path):
    close(compare(*experiment, tmp_path / "out", workers=Workers(jobs=2)), serial)


@pytest.mark.filterwarnings("ignore")
def test_a_local_ray_gives_what_one_process_gives(experiment, serial, tmp_path):
    pytest.importorskip("ray")
    workers = Workers(ray_address="local")
    close(compare(*experiment, tmp_path / "out", workers=workers), serial)
    # What a run refuses on a worker comes back as the same one line.
    with (
        refusing(*experiment, tmp_path / "bad") as message,
        pytest.raises(UserError, match=message),
    ):
        compare(*experiment, tmp_path / "bad", resume=True, workers=workers)


@pytest.mark.slow
def test_a_refusal_in_a_process_is_the_same_line(experiment, tmp_path):
    folder = tmp_path / "out"
    with refusing(*experiment, folder) as message, pytest.raises(UserError, match=message):
        compare(*experiment, folder, resume=True, workers=Workers(jobs=2))


def test_what_workers_refuse():
    with pytest.raises(UserError, match=r"must be >= 1.*got 0, 1"):
        Workers(jobs=0)
    with pytest.raises(UserError, match="jobs=2 is for one machine without Ray"):
        Workers(jobs=2, ray_address="local")


def test_one_process_at_a_time_trains_in_a_folder(experiment, tmp_path):
    recipe, store = experiment
    train(recipe, "none", 0, store, tmp_path / "run", console=QUIET)
    (tmp_path / "run" / "result.json").unlink()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(UserError, match="another process is training in"),
    ):
        train(recipe, "none", 0, store, tmp_path / "run", resume=True, console=QUIET)


def test_a_killed_comparison_goes_on_where_it_stopped(experiment, serial, tmp_path):
    recipe, store = experiment
    slow = dataclasses.replace(
        recipe,
        contestants=recipe.contestants | {"average": ContestantConfig(kind="moving_average")},
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(slow.to_dict()))
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "latentwave", "compare", str(path), "--output", str(folder)]
    command += ["--workers.jobs", "2"]
    killed = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folder.glob("*/result.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(finished) < 6
    _wait_for_workers_to_end(folder)
    results = compare(slow, store, folder, resume=True, console=QUIET)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    close(results, serial)


def _wait_for_workers_to_end(folder):
    """Workers notice within seconds that the comparison is gone; until then they own folders."""
    deadline = time.monotonic() + 30
    for run in folder.glob("*-seed*"):
        lock = FileLock(run / ".lock")
        while True:
            try:
                with lock.acquire(timeout=0):
                    break
            except TimeoutError:
                assert time.monotonic() < deadline, f"{run} is still owned, {os.listdir(run)}"
                time.sleep(0.1)
