"""Executes runs: in this process, in several on this machine, or on a Ray cluster."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from latentwave.bench.data import TokenStore
from latentwave.bench.data.codec import optional_package
from latentwave.bench.training import (
    Recipe,
    check_folder,
    describe_run,
    on_main,
    prepared_store,
    train,
)
from latentwave.bench.training.files import RESULT
from latentwave.bench.training.processes import is_main
from latentwave.bench.training.progress import PlainConsole, show_warning
from latentwave.errors import UserError

T = TypeVar("T")
_RAY_LOCAL = "local"
_WATCH_SECONDS = 1.0
_RESUME = "what was saved is kept: go on with --resume"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One training run."""

    recipe: Recipe
    contestant: str
    seed: int  # of weights and batches
    folder: Path  # of the run, which continues if it was interrupted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workers:
    """Where runs are executed. None of this changes a loss.

    Attributes:
        jobs: runs at a time on this machine; each gets an equal share of the cores.
        ray_address: of a Ray cluster whose machines share a file system; "local" starts Ray on
            this machine; None: no Ray.
        cpus_per_run: cores that Ray gives to a run; ignored without Ray.
        gpus_per_run: accelerators that Ray gives to a run; ignored without Ray.
    """

    jobs: int = 1
    ray_address: str | None = None
    cpus_per_run: int = 1
    gpus_per_run: float = 0.0

    def __post_init__(self) -> None:
        if self.jobs < 1 or self.cpus_per_run < 1 or self.gpus_per_run < 0:
            raise UserError(
                "jobs and cpus_per_run must be >= 1 and gpus_per_run >= 0, got "
                f"{self.jobs}, {self.cpus_per_run} and {self.gpus_per_run}"
            )
        if self.jobs > 1 and self.ray_address is not None:
            raise UserError(
                f"jobs={self.jobs} is for one machine without Ray; with ray_address, Ray decides "
                "how many runs fit (cpus_per_run, gpus_per_run)"
            )

    @property
    def here(self) -> bool:
        """Whether runs are executed in this process, one after the other."""
        return self.jobs == 1 and self.ray_address is None

    def run(self, jobs: Sequence[Job], store: TokenStore, console: Console) -> None:
        """Execute independent jobs on one corpus; finished runs are skipped.

        Where runs have processes of their own, one that fails is reported at once; its error is
        raised when the runs that have started are over.
        """

        def check() -> None:
            for job in jobs:  # finished runs are not trained again, so they must be the right ones
                check_folder(job.folder, describe_run(job.recipe, job.contestant, job.seed, store))

        on_main(check)
        waiting = [job for job in jobs if not (job.folder / RESULT).exists()]
        done = len(jobs) - len(waiting)
        function = functools.partial(_train, store, console) if self.here else run_job
        # Bars of several runs would overwrite each other, so other processes print lines.
        has_bar = self.here and is_main() and console.is_terminal
        columns = TextColumn("[bold]all runs"), BarColumn(bar_width=24), MofNCompleteColumn()
        bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not has_bar)
        task = bar.add_task("", total=len(jobs), completed=done)
        shown = bar if waiting else contextlib.nullcontext()  # above the bars of single runs
        with contextlib.closing(self.each(function, waiting)) as finished, shown:
            for count, (job, error) in enumerate(finished, start=done + 1):
                if error is not None:
                    report_failure(job.folder, error, console)
                    raise error
                bar.update(task, completed=count)
                if is_main() and not has_bar:
                    console.print(f"{count} of {len(jobs)} runs finished", soft_wrap=True)

    def each(
        self,
        function: Callable[[T], object],
        waiting: list[T],
        is_late: Callable[[], bool] = lambda: False,
    ) -> Generator[tuple[T, BaseException | None], None, None]:
        """Call a function with each task of a list, in order, and yield those that are finished.

        Tasks are taken from the front of the list, to which the caller may add; once `is_late`,
        none is started any more. In this process errors are raised; from other processes each task
        comes with its error.
        """
        if self.here:
            while waiting and not is_late():
                task = waiting.pop(0)
                function(task)
                yield task, None
            return
        if not waiting:
            return
        with _processes(self.jobs) if self.ray_address is None else _ray(self) as (submit, slots):
            running: dict[concurrent.futures.Future[object], T] = {}
            while running or (waiting and not is_late()):
                while waiting and len(running) < slots and not is_late():
                    task = waiting.pop(0)
                    running[submit(function, task)] = task
                first = concurrent.futures.FIRST_COMPLETED
                for future in concurrent.futures.wait(running, return_when=first).done:
                    yield running.pop(future), _error_of(future)


def _train(store: TokenStore, console: Console, job: Job) -> None:
    train(job.recipe, job.contestant, job.seed, store, job.folder, resume=True, console=console)


def report_failure(folder: Path, error: BaseException, console: Console) -> None:
    """Say which run failed, before the runs beside it end and its error is raised."""
    line = f"{folder} failed ({type(error).__name__}: {error}); the runs beside it go on"
    console.print(line, soft_wrap=True, markup=False)


def run_job(job: Job) -> None:
    """Execute one job in a process of its own; raises `UserError` for what the run refuses."""
    store = prepared_store(job.recipe.corpus, warn=False)
    _train(store, PlainConsole(stderr=True, force_terminal=False), job)


Submit = Callable[[Callable[[T], object], T], concurrent.futures.Future[object]]


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[tuple[Submit[Any], int]]:
    """A pool of processes on this machine, which share its cores equally."""
    context = multiprocessing.get_context("spawn")  # forks would share torch's threads and locks
    threads, accelerators = max(1, (os.cpu_count() or 1) // jobs), torch.cuda.device_count()
    arguments = os.getpid(), threads, accelerators, context.Value("i", 0)
    with concurrent.futures.ProcessPoolExecutor(
        jobs, context, initializer=_start_worker, initargs=arguments
    ) as pool:
        try:
            yield pool.submit, jobs
        except KeyboardInterrupt:  # or leaving the pool would wait for its runs to end
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker(parent: int, threads: int, accelerators: int, started: Any) -> None:
    """Set the threads, warnings and accelerator of a process; end it when its parent ends.

    Ctrl-C ends it at once and silently: code can swallow a KeyboardInterrupt, and runs survive
    even `kill -9`.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.showwarning = show_warning
    with started.get_lock():
        number = started.value
        started.value += 1
    torch.set_num_threads(threads)
    if accelerators > 1:  # the Trainer uses the first one that it sees
        seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(accelerators)))
        os.environ["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number % accelerators]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Exit with the parent: an orphan would train beside the worker that resumes its run."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def _ray(workers: Workers) -> Iterator[tuple[Submit[Any], int]]:
    """A Ray cluster, with as many tasks at a time as it has room for."""
    ray = optional_package("ray", "cluster", "a cluster")
    address = None if workers.ray_address == _RAY_LOCAL else workers.ray_address
    try:
        ray.init(address=address, include_dashboard=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at {workers.ray_address!r}: start one with `ray start "
            f'--head`, or use "{_RAY_LOCAL}" ({error})'
        ) from error
    cpus, gpus, here = workers.cpus_per_run, workers.gpus_per_run, os.getcwd()
    try:
        slots = _slots(ray.nodes(), {"CPU": cpus, "GPU": gpus})
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_remotely)
        yield lambda function, task: remote.remote(function, task, cpus, here).future(), slots
    finally:
        ray.shutdown()


def _slots(nodes: Sequence[dict[str, Any]], wanted: dict[str, float]) -> int:
    """How many runs fit the machines of a cluster; refuses runs that no machine has room for."""
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    needed = {kind: number for kind, number in wanted.items() if number > 0}
    slots = sum(
        min(int(each.get(kind, 0) // number) for kind, number in needed.items())
        for each in machines
    )
    if not slots:
        most = {kind: max((each.get(kind, 0) for each in machines), default=0) for kind in wanted}
        raise UserError(
            f"no machine of the Ray cluster has cpus_per_run={wanted['CPU']:g} and "
            f"gpus_per_run={wanted['GPU']:g}: the most are {most['CPU']:g} cores and "
            f"{most['GPU']:g} accelerators"
        )
    return slots


def _remotely(function: Callable[[T], object], task: T, threads: int, folder: str) -> None:
    warnings.showwarning = show_warning
    torch.set_num_threads(threads)
    os.chdir(folder)  # relative paths start there
    function(task)


def _error_of(future: concurrent.futures.Future[object]) -> BaseException | None:
    """What a task raised, if anything; raises a `UserError` if its worker died."""
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise UserError(
            f"a worker process died (killed, or out of memory); {_RESUME}, perhaps with fewer jobs "
            "side by side"
        ) from error
    if error is None or not type(error).__module__.startswith("ray."):
        return error
    cause: BaseException | None = getattr(error, "cause", None)  # raised by the task itself
    if cause is not None:
        return cause
    # Out of memory, or a machine or worker that died.
    reason = str(error).strip().partition("\n")[0]
    raise UserError(f"Ray lost a run ({type(error).__name__}: {reason}); {_RESUME}") from error
