"""What a number was measured on."""

from __future__ import annotations

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
_LOOK_SECONDS = 0.3


def describe_environment() -> dict[str, Any]:
    """Versions, hardware and commit, for the record of a run.

    Returns:
        Keys versions, cpu, cores, accelerator (None without one), threads (of torch), platform and
        commit ("…-dirty" with uncommitted changes; outside a git checkout what LATENTWAVE_COMMIT
        says, or None).
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


def busy_cores(own: psutil.Process) -> float:
    """Cores that other processes than this one have kept busy since the last call."""
    every = psutil.cpu_percent() * (psutil.cpu_count() or 1)
    return max(0.0, float(every - own.cpu_percent()) / 100)


@functools.cache
def crowded_cores() -> str | None:
    """Why training on this CPU may crawl, looked up once: its threads wait for a core.

    Threads that share a layer's work wait for one another without giving their cores away, so one
    that has to queue behind another program stops them all.
    """
    threads, cores = torch.get_num_threads(), psutil.cpu_count() or 1
    if threads == 1:
        return None
    own = psutil.Process()
    busy_cores(own)
    time.sleep(_LOOK_SECONDS)
    busy = busy_cores(own)
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
    source = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(source), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        # An installed copy inside somebody else's checkout must not report that one's commit.
        if git("ls-files", "--", Path(__file__).name):
            return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    return os.environ.get("LATENTWAVE_COMMIT")
