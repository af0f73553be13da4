"""Describes the machine and code that a number was measured with."""

import contextlib
import functools
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

_PACKAGES = ("latentwave", "torch", "transformers", "accelerate", "tokenizers", "numpy")
_SAMPLE_SECONDS = 0.3


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and commit, for the record of a run.

    Returns:
        Keys versions, cpu, cores, accelerator (None without one), threads (of torch), platform and
        commit ("…-dirty" with uncommitted changes; outside a git checkout LATENTWAVE_COMMIT, or
        None).
    """
    return {
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "commit": _commit(),
    }


def busy_cores(process: psutil.Process) -> float:
    """The number of cores that all but this process have kept busy since the last call."""
    total = psutil.cpu_percent() * (psutil.cpu_count() or 1)
    return max(0.0, float(total - process.cpu_percent()) / 100)


@functools.cache
def crowded_cores() -> str | None:
    """A hint if training on this CPU may crawl because other programs use its cores; else None.

    Threads that share a layer's work spin while they wait for one another, so one that queues
    behind another program holds up all of them.
    """
    threads, cores = torch.get_num_threads(), psutil.cpu_count() or 1
    if threads == 1:
        return None
    process = psutil.Process()
    busy_cores(process)
    time.sleep(_SAMPLE_SECONDS)
    busy = busy_cores(process)
    if threads + busy < cores + 0.5:
        return None
    return (
        f"other programs keep {busy:.1f} of {cores} cores busy, and this one has {threads} "
        "threads: with OMP_NUM_THREADS=1 it may be many times as fast"
    )


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        # An installed copy inside another project's checkout must not report that commit.
        if git("ls-files", "--", here.name):
            return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    return os.environ.get("LATENTWAVE_COMMIT")
