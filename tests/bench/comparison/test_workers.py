"""Parallel runs give what sequential ones give, and survive being killed."""

import concurrent.futures
import dataclasses
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
import yaml
from filelock import FileLock

from latentwave.bench.comparison import Workers, compare, workers
from latentwave.bench.comparison.workers import Job, run_job
from latentwave.bench.ladder.units import Unit, run_unit
from latentwave.bench.training import ContestantConfig, describe_run, prepared_store
from latentwave.bench.training.progress import PlainConsole
from latentwave.bench.training.result import open_folder
from latentwave.errors import UserError
from tests.bench.comparison.conftest import QUIET
from tests.processes import ENVIRONMENT
from tests.tiny import tiny_recipe, write_text


def assert_close(results, reference):
    for name, contestant in reference.contestants.items():
        for own, expected in zip(results.contestants[name].curve, contestant.curve, strict=True):
            # Another number of threads sums in another order.
            assert own.losses == pytest.approx(expected.losses, abs=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [Workers(jobs=2), Workers(ray_address="local")], ids=str)
def test_other_processes_give_what_this_one_gives(experiment, compared, tmp_path, workers):
    if workers.ray_address:
        pytest.importorskip("ray")
    assert_close(compare(*experiment, tmp_path / "out", workers=workers), compared[-1])


@pytest.mark.slow
def test_a_refusal_in_another_process_is_the_same_line(experiment, tmp_path):
    recipe, store = experiment
    run = tmp_path / "out" / "wavelet-seed1"
    open_folder(run, describe_run(recipe, "wavelet", 1, store), resume=False)
    message = "another process is training in .*wavelet-seed1"
    with FileLock(run / ".lock"), pytest.raises(UserError, match=message):
        compare(recipe, store, run.parent, resume=True, workers=Workers(jobs=2))


def test_impossible_workers_are_refused():
    with pytest.raises(UserError, match=r"must be >= 1.*got 0, 1"):
        Workers(jobs=0)
    with pytest.raises(UserError, match="jobs=2 is for one machine without Ray"):
        Workers(jobs=2, ray_address="local")


def test_without_ray_its_options_change_nothing():
    done = []
    assert list(Workers(cpus_per_run=2).each(done.append, [1, 2])) == [(1, None), (2, None)]
    assert done == [1, 2]


LOST = "Ray lost a run .*go on with --resume"
REFUSED = UserError("another process is training")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda errors: errors.OutOfMemoryError("Task was killed\nTop 10 memory users:"), LOST),
        (lambda errors: errors.RayActorError(), LOST),
        (
            lambda errors: errors.RayTaskError("f", "trace", REFUSED).as_instanceof_cause(),
            "^another process is training$",
        ),
    ],
)
def test_errors_under_ray_are_one_line(monkeypatch, tmp_path, experiment, make, message):
    ray = pytest.importorskip("ray")

    def lose():
        future = concurrent.futures.Future()
        future.set_exception(make(ray.exceptions))
        return future

    recipe, store = experiment
    remote = SimpleNamespace(remote=lambda *_: SimpleNamespace(future=lose))
    machine = {"Alive": True, "Resources": {"CPU": 2.0}}
    for name, fake in {
        "init": lambda **_: None,
        "nodes": lambda: [machine, {"Alive": False, "Resources": {"CPU": 64.0}}],
        "remote": lambda **_: lambda function: remote,
        "shutdown": lambda: None,
    }.items():
        monkeypatch.setattr(ray, name, fake)
    job = Job(recipe=recipe, contestant="none", seed=0, folder=tmp_path / "run")
    with pytest.raises(UserError, match=message) as caught:
        Workers(ray_address="local").run([job], store, QUIET)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="has cpus_per_run=64 .* the most are 2 cores"):
        Workers(ray_address="local", cpus_per_run=64).run([job], store, QUIET)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_of_all_runs_together(monkeypatch, experiment, tmp_path, terminal):
    recipe, store = experiment
    monkeypatch.setattr(workers, "train", lambda *_, **__: None)
    jobs = [
        Job(recipe=recipe, contestant="none", seed=seed, folder=tmp_path / str(seed))
        for seed in range(3)
    ]
    open_folder(tmp_path / "0", describe_run(recipe, "none", 0, store), resume=False)
    (tmp_path / "0" / "result.json").touch()
    shown = io.StringIO()
    console = PlainConsole(file=shown, force_terminal=terminal, width=80)
    Workers().run(jobs, store, console)
    if terminal:
        assert "all runs" in shown.getvalue()
        assert "3/3" in shown.getvalue()
    else:
        assert shown.getvalue() == "2 of 3 runs finished\n3 of 3 runs finished\n"


def test_a_failed_run_is_named_before_the_runs_beside_it_end(monkeypatch, experiment, tmp_path):
    recipe, store = experiment
    job = Job(recipe=recipe, contestant="none", seed=0, folder=tmp_path / "run")
    shown, told = io.StringIO(), []

    def each(*_):
        try:
            yield job, UserError("no room")
        finally:  # where the pool waits for its processes
            told.append(shown.getvalue())

    monkeypatch.setattr(Workers, "each", each)
    with pytest.raises(UserError, match="no room"):
        Workers().run([job], store, PlainConsole(file=shown))
    assert told == [f"{job.folder} failed (UserError: no room); the runs beside it go on\n"]


def interrupt_parent(seconds):
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(seconds)


def test_an_interrupt_does_not_wait_for_the_runs_of_workers():
    with pytest.raises(KeyboardInterrupt):
        list(Workers(jobs=2).each(interrupt_parent, [60.0]))
    # Not by joining: a thread of the pool waits for them too, and only one of the two would return.
    deadline = time.monotonic() + 20
    while multiprocessing.active_children():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def note_accelerator(folder):
    (folder / str(os.getpid())).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize(("visible", "own"), [(None, {"0", "1"}), ("2,5", {"2", "5"})])
def test_workers_see_one_accelerator_each(monkeypatch, tmp_path, visible, own):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    list(Workers(jobs=2).each(note_accelerator, [tmp_path] * 2))
    assert {path.read_text() for path in tmp_path.iterdir()} == own


def warn_and_interrupt_itself(seconds):
    warnings.warn("this took\nlong", stacklevel=1)
    try:
        signal.raise_signal(signal.SIGINT)
        time.sleep(seconds)
    except KeyboardInterrupt:
        time.sleep(seconds)  # like code that swallows it


def test_an_interrupt_ends_a_worker_that_would_ignore_it_and_warnings_are_a_line(capfd):
    with pytest.raises(UserError, match="a worker process died"):
        list(Workers(jobs=2).each(warn_and_interrupt_itself, [1.0]))
    assert capfd.readouterr().err == "latentwave: warning: this took long\n"


def test_skipped_files_are_reported_once(tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_text(folder / "words.txt")
    (folder / "bytes.txt").write_bytes(b"\0")
    recipe = tiny_recipe(folder)
    with pytest.warns(UserWarning, match="skipped 1 of 2 files") as told:
        prepared_store(recipe.corpus)
    assert len(told) == 1
    # Every run in a worker opens the store again; a warning would be an error here.
    monkeypatch.setattr(workers, "train", lambda *_, **__: None)
    run_job(Job(recipe=recipe, contestant="none", seed=0, folder=tmp_path / "run"))
    unit = {"contestant": "none", "seed": 0, "factor": 1.0, "budgets": [], "turn": 0, "cost": 0.0}
    run_unit(Unit(folder=tmp_path, runs=[("trunk", recipe, None)], **unit))


@pytest.mark.slow
def test_a_killed_comparison_goes_on_where_it_stopped(experiment, compared, tmp_path):
    recipe, store = experiment
    slow = dataclasses.replace(
        recipe,
        contestants=recipe.contestants | {"average": ContestantConfig(kind="moving_average")},
    )
    path, folder = tmp_path / "recipe.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(slow.to_dict()))
    arguments = ["compare", str(path), "--output", str(folder), "--jobs", "2"]
    command = [sys.executable, "-m", "latentwave", *arguments]
    killed = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(folder.glob("*/result.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(finished) < 6
    # Workers notice within seconds that the comparison is gone; until then they own folders.
    for run in folder.glob("*-seed*"):
        FileLock(run / ".lock", timeout=30).acquire().lock.release()
    results = compare(slow, store, folder, resume=True, console=QUIET)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    assert_close(results, compared[-1])
