"""Runs code in other processes: one alone, or a group that talks over gloo on the loopback."""

import contextlib
import datetime
import multiprocessing
import os
import subprocess
import sys
import traceback
import warnings
from multiprocessing import forkserver
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# For processes started outside pytest.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}

# Forked from a server that has imported everything, each process starts at once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["latentwave.bench.training", "tests.processes"])


def _start_server():
    with pytest.MonkeyPatch.context() as patch:  # the server imports before it is told sys.path
        patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
        forkserver.ensure_running()


def run_python(*arguments, **options):
    """Run a fresh interpreter that finds the library, in this environment."""
    environment = os.environ | {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, **options
    )


def run_code(code, folder, limit_seconds=300):
    """The text that code prints in its own process, in this folder and environment."""
    _start_server()
    printed = folder / "printed.txt"
    process = _CONTEXT.Process(target=_execute, args=(code, folder, printed, dict(os.environ)))
    process.start()
    process.join(limit_seconds)
    process.kill()
    text = printed.read_text(encoding="utf-8")
    assert process.exitcode == 0, text
    return text


def _execute(code, folder, printed, environment):
    import torch

    torch.set_num_threads(int(ENVIRONMENT["OMP_NUM_THREADS"]))
    os.environ |= environment
    os.chdir(folder)
    with printed.open("w") as file, contextlib.redirect_stdout(file):
        warnings.simplefilter("ignore")
        try:
            exec(code, {"__name__": "__main__"})  # noqa: S102
        except BaseException:
            print(traceback.format_exc())
            raise


def run_processes(num_processes, function, folder, *arguments, limit_seconds=300):
    """Call function(rank, *arguments) in every process of one group; fail with their errors."""
    folder.mkdir(parents=True, exist_ok=True)
    _start_server()
    errors = _CONTEXT.Queue()
    processes = [
        _CONTEXT.Process(
            target=_member,
            args=(errors, function, rank, num_processes, f"file://{folder}/meeting", arguments),
            daemon=True,
        )
        for rank in range(num_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(limit_seconds)
        if process.is_alive():
            process.kill()
            process.join()
    found = [errors.get() for _ in range(num_processes) if not errors.empty()]
    codes = [process.exitcode for process in processes]
    assert codes == [0] * num_processes, "\n".join([f"exit codes {codes}", *found])


def _member(errors, function, rank, size, meeting, arguments):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(int(ENVIRONMENT["OMP_NUM_THREADS"]))
    # As launchers do.
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(size), "OMP_NUM_THREADS": ENVIRONMENT["OMP_NUM_THREADS"]}
    try:
        dist.init_process_group(
            "gloo",
            init_method=meeting,
            rank=rank,
            world_size=size,
            timeout=datetime.timedelta(seconds=60),
        )
        function(rank, *arguments)
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        errors.put(f"rank {rank}: {traceback.format_exc()}")
        raise SystemExit(1) from None
