import subprocess
import sys
import time

import psutil
import pytest
import torch

from latentwave.bench.training import environment, train
from latentwave.bench.training.environment import busy_cores, crowded_cores


def test_work_of_other_processes_is_seen_and_own_work_is_not():
    def busy(seconds, own):
        began, this = time.perf_counter(), psutil.Process()
        busy_cores(this)
        while time.perf_counter() < began + seconds:
            if not own:
                time.sleep(0.05)
        return busy_cores(this)

    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        found = busy(1.5, own=False)
    finally:
        other.kill()
        other.wait()
    assert found > 0.2  # of a core; tests may share the machine
    assert busy(1.0, own=True) < found + 0.5


@pytest.fixture
def machine(monkeypatch):
    """Four cores, of which other programs keep some busy; the process may use some threads."""

    def look(busy, threads):
        crowded_cores.cache_clear()
        monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(environment, "busy_cores", lambda own: busy)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    yield look
    crowded_cores.cache_clear()


@pytest.mark.parametrize(
    ("busy", "threads", "crowded"),
    [(0.3, 4, False), (1.2, 4, True), (1.2, 2, False), (4, 1, False)],
)
def test_threads_that_wait_for_a_core_are_found(machine, busy, threads, crowded):
    machine(busy, threads)
    assert bool(crowded_cores()) == crowded


def test_a_run_on_a_crowded_machine_says_how_it_would_be_faster(
    machine, recipe_with, store, tmp_path, monkeypatch, capsys
):
    machine(1.2, 4)
    train(recipe_with(), "none", 0, store, tmp_path / "run")
    told = "other programs keep 1.2 of 4 cores busy, and this one has 4 threads: with OMP"
    assert told in " ".join(capsys.readouterr().err.split())
    # Of several processes only the first speaks, and launchers have set their threads.
    monkeypatch.setattr("latentwave.bench.training.run.is_main", lambda: False)
    train(recipe_with(), "none", 0, store, tmp_path / "other")
    assert told not in " ".join(capsys.readouterr().err.split())
