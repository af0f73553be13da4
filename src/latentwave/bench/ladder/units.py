"""Units of a ladder: runs that one process executes one after the other."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.bench.comparison.workers import start_worker
from latentwave.bench.data import TokenStore
from latentwave.bench.training import (
    check_folder,
    describe_run,
    prepared_store,
    read_result,
    recipe_from_dict,
    train,
)
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """Runs that one process executes one after the other: a search, or a trunk and its branches.

    Attributes:
        folder: of the unit.
        contestant: its name.
        seed: of weights and batches.
        runs: (name of the run's folder, its recipe, the step of the trunk where it begins or
            None), in order.
        cost: tokens times parameters, to start the longest first.
        working_folder: what relative paths of the recipes start from.
    """

    folder: str
    contestant: str
    seed: int
    runs: list[tuple[str, dict[str, Any], int | None]]
    cost: float
    working_folder: str = dataclasses.field(default_factory=os.getcwd)

    def is_finished(self) -> bool:
        """Whether all results are there; a trunk's is of no use once its branches have ended."""
        wanted = [name for name, _, start in self.runs if start is not None] or [
            name for name, _, _ in self.runs
        ]
        return all((Path(self.folder) / name / "result.json").is_file() for name in wanted)


def check_unit(unit: Unit, store: TokenStore) -> None:
    """Finished runs are taken as they are, so they must be those that the recipe means."""
    for name, values, start in unit.runs:
        own = recipe_from_dict(values)
        trunk = None if start is None else _trunk_checkpoint(unit, start)
        record = describe_run(own, unit.contestant, unit.seed, store, trunk)
        check_folder(Path(unit.folder) / name, record)


def _trunk_checkpoint(unit: Unit, step: int) -> Path:
    return Path(unit.folder) / "trunk" / "checkpoints" / f"checkpoint-{step}"


def run_unit(unit: Unit) -> None:
    """Execute a unit in this process, or go on where it stopped.

    Raises:
        UserError: what a run refuses.
    """
    os.chdir(unit.working_folder)
    folder, console = Path(unit.folder), Console(quiet=True)
    store = prepared_store(recipe_from_dict(unit.runs[0][1]).corpus)
    missing = [
        start
        for name, _, start in unit.runs
        if start is not None and not (folder / name / "result.json").is_file()
    ]
    if not all(_trunk_checkpoint(unit, start).is_dir() for start in missing):
        # A branch was removed after its trunk's checkpoints were: the same trunk is made again.
        (folder / "trunk" / "result.json").unlink(missing_ok=True)
    for name, values, start in unit.runs:
        if (folder / name / "result.json").is_file():
            continue
        start_from = None if start is None else _trunk_checkpoint(unit, start)
        own = recipe_from_dict(values)
        train(
            own,
            unit.contestant,
            unit.seed,
            store,
            folder / name,
            resume=True,
            console=console,
            start_from=start_from,
        )
        shutil.rmtree(folder / name / "model", ignore_errors=True)
        if start is not None or name != "trunk":
            shutil.rmtree(folder / name / "checkpoints", ignore_errors=True)
    shutil.rmtree(folder / "trunk" / "checkpoints", ignore_errors=True)


def run_units(
    first: list[Unit],
    more: Callable[[Unit | None], list[Unit]],
    jobs: int,
    is_late: Callable[[], bool],
) -> int:
    """Execute units as they become ready; returns those that were not started.

    Raises:
        UserError: after all others have ended, if some failed.
    """
    waiting = first
    if jobs == 1:
        while waiting and not is_late():
            unit = waiting.pop(0)
            run_unit(unit)
            waiting += more(unit)
        return len(waiting)
    failed: dict[str, BaseException] = {}
    context = multiprocessing.get_context("spawn")  # forks would share torch's threads and locks
    threads = max(1, (os.cpu_count() or 1) // jobs)
    arguments = (os.getpid(), threads, context.Value("i", 0))
    with concurrent.futures.ProcessPoolExecutor(
        jobs, context, initializer=start_worker, initargs=arguments
    ) as pool:
        running: dict[concurrent.futures.Future[None], Unit] = {}
        try:
            while running or (waiting and not is_late()):
                while waiting and len(running) < jobs and not is_late():
                    unit = waiting.pop(0)
                    running[pool.submit(run_unit, unit)] = unit
                done, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    unit = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise error
                    if error is not None:  # the others need not suffer from it
                        failed[unit.folder] = error
                        continue
                    waiting = sorted([*waiting, *more(unit)], key=lambda each: -each.cost)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died (killed, or out of memory); what was saved is kept: go on "
                "with --resume, perhaps with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failed:
        folder, first_error = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of the ladder's trunks or searches failed, {folder} with "
            f"{type(first_error).__name__}: {first_error}; the others are kept"
        ) from first_error
    return len(waiting)


class Progress:
    """Lines that say how far a ladder is."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0

    def skip(self, count: int) -> None:
        """There is less to do."""
        self._total -= count

    def finished(self, unit: Unit) -> None:
        """A unit has ended."""
        self._done += 1
        where = "/".join(Path(unit.folder).parts[-4:])
        losses = [
            read_result(Path(unit.folder) / name).final_loss
            for name, _, _ in unit.runs
            if name != "trunk"
        ]
        shown = " ".join(f"{loss:.4f}" for loss in losses)
        self._console.print(
            f"[{self._done}/{self._total}] {where}: {shown}", soft_wrap=True, markup=False
        )
