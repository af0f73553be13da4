"""The processes of a run: one, or several that a launcher such as torchrun started."""

import atexit
import contextlib
import ctypes
import datetime
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist

from latentwave.bench.data import CorpusConfig, TokenStore, prepare
from latentwave.errors import UserError

T = TypeVar("T")


def rank() -> int:
    """The number of this process; 0 for the first, and for a process alone."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that writes files and prints."""
    return rank() == 0


def on_cpu() -> bool:
    """Whether training runs on the CPU: there is no accelerator, or ACCELERATE_USE_CPU says so."""
    forced = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    return forced or not torch.accelerator.is_available()


def device() -> torch.device:
    """The device that models run on: the accelerator, or the CPU, see `on_cpu`."""
    found = None if on_cpu() else torch.accelerator.current_accelerator()
    return found or torch.device("cpu")


def keep_freed_memory() -> bool:
    """Have this process keep memory for reuse that it frees; whether it could be set.

    By default glibc gives large blocks back to the system, which clears them page by page when the
    next training step asks for them: a twentieth of a step of a small model, a tenth if compiled.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    settings = ((-1, 2**31 - 1), (-4, 0))  # M_TRIM_THRESHOLD, M_MMAP_MAX
    return mallopt is not None and all(mallopt(*each) for each in settings)


def start_processes(timeout_seconds: int) -> None:
    """Join the launcher's other processes, once; does nothing without any."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        return
    backend = "gloo"
    if not on_cpu():
        torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() else ""
    dist.init_process_group(backend or None, timeout=datetime.timedelta(seconds=timeout_seconds))
    atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def on_main(work: Callable[[], T]) -> T:
    """Do work in the first process; all processes get its result, or raise its error."""
    if num_processes() == 1:
        return work()
    return on_all(lambda: work() if is_main() else None)[0]  # type: ignore[return-value]


def on_all(work: Callable[[], T]) -> list[T]:
    """Do work in every process; each gets all results, or raises the first error of any.

    Once the work may have failed, it must not wait for other processes.
    """
    if num_processes() == 1:
        return [work()]
    outcome: tuple[T | None, Exception | None]
    try:
        outcome = (work(), None)
    except Exception as error:
        outcome = (None, _sendable(error))
    outcomes: list[tuple[T | None, Exception | None]] = [outcome] * num_processes()
    dist.all_gather_object(outcomes, outcome)
    for _, failure in outcomes:
        if failure is not None:
            raise failure
    return [result for result, _ in outcomes]  # type: ignore[misc]


def prepared_store(config: CorpusConfig, *, warn: bool = True) -> TokenStore:
    """The store of a corpus: the first process prepares it, with `warn` naming what it skipped."""
    if num_processes() > 1:
        on_main(lambda: prepare(config, warn=False) and None)
    return prepare(config, warn=warn and is_main())


@contextlib.contextmanager
def explained_ends(hint: Callable[[], str]) -> Iterator[None]:
    """Say in one line why a run of several processes was cut off, and what to do.

    A process that has died or does not answer is a UserError; SIGTERM, which launchers send then,
    ends this process with status 143.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if is_main():
            line = (
                "latentwave: terminated (SIGTERM), as launchers do when another process of the "
                f"run has died; {hint()}\n"
            )
            os.write(sys.stderr.fileno(), line.encode())
        raise SystemExit(128 + number)

    if num_processes() == 1:
        yield
        return
    can_listen = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if can_listen else None
    try:
        yield
    except RuntimeError as error:
        # Gloo raises plain RuntimeErrors.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        if can_listen:  # the launcher's SIGTERM is on its way and would cut our message off
            before = signal.SIG_IGN
        # Gloo's message begins with a place in its source and ends with advice.
        reason = re.sub(r"^\[[^\]]*\] ", "", str(error).strip().splitlines()[0]).split(". ")[0]
        raise UserError(
            f"another process of this run has died or does not answer ({reason}); {hint()}"
        ) from error
    finally:
        if can_listen:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
