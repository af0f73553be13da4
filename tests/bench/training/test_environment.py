import platform
import subprocess
import sys
import time

import psutil
import pytest
import torch

from latentwave.bench.training import engine, environment, train
from latentwave.bench.training.environment import busy_cores, crowded_cores


def test_work_of_other_processes_is_seen_and_own_work_is_not():
    def busy(seconds, work):
        began, this = time.perf_counter(), psutil.Process()
        busy_cores(this)
        while time.perf_counter() < began + seconds:
            work()
        return busy_cores(this)

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            time.sleep(0.3)
            by_other = busy(1.5, lambda: time.sleep(0.05))
        finally:
            other.kill()
    assert by_other > 0.2  # of a core; tests may share the machine
    assert busy(1.0, lambda: None) < by_other + 0.5


@pytest.fixture
def machine(monkeypatch):
    """Four cores, of which other programs keep some busy; this process has some threads."""

    def pretend(busy, threads):
        crowded_cores.cache_clear()
        monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(environment, "busy_cores", lambda own: busy)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    yield pretend
    crowded_cores.cache_clear()


@pytest.mark.parametrize(
    ("busy", "threads", "crowded"),
    [(0.3, 4, False), (1.2, 4, True), (1.2, 2, False), (4, 1, False)],
)
def test_threads_that_wait_for_a_core_are_found(machine, busy, threads, crowded):
    machine(busy, threads)
    assert bool(crowded_cores()) == crowded


def test_a_run_without_a_terminal_prints_progress_and_how_it_would_be_faster(
    machine, recipe_with, store, tmp_path, monkeypatch, capsys
):
    machine(1.2, 4)
    train(recipe_with(), "none", 0, store, tmp_path / "run")
    printed = capsys.readouterr().err
    hint = "other programs keep 1.2 of 4 cores busy, and this one has 4 threads: with OMP"
    assert all(part in printed for part in (hint, "none, seed 0: step 8/8, loss", "tokens/s"))
    # Of several processes only the first one prints.
    monkeypatch.setattr("latentwave.bench.training.run.is_main", lambda: False)
    train(recipe_with(), "none", 0, store, tmp_path / "other")
    assert hint not in capsys.readouterr().err


MEMORY = """
import resource, sys, torch
from latentwave.bench.training.processes import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step = [torch.zeros(size) for size in 4 * [2**22] + 2 * [3 * 2**22]]  # of 16 and 48 MiB
        del step
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before, could, _ = faults(), keep_freed_memory(), faults()
print(before, faults(), could)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the settings")
def test_training_reuses_the_memory_that_it_frees():
    command = [sys.executable, "-c", MEMORY]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(printed[1]) < int(printed[0]) / 10
    assert printed[2] == "True"


def test_runs_keep_memory(run_one, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(engine, "keep_freed_memory", lambda: calls.append("kept"))
    run_one(tmp_path / "run")
    assert calls == ["kept"]
