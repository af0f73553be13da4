"""Run a ladder: searches for rates, trunks, and a branch at every budget."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.bench.comparison.workers import start_worker
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.recipe import LadderRecipe, Rung, rung_of, steps_for
from latentwave.bench.training import (
    BASELINE,
    check_folder,
    describe_run,
    open_objective,
    prepared_store,
    read_result,
    recipe_from_dict,
    train,
)
from latentwave.errors import UserError

Cell = tuple[str, str, str]


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


def run_ladder(
    ladder: Ladder,
    store: TokenStore,
    *,
    jobs: int = 1,
    resume: bool = False,
    sizes: Sequence[str] | None = None,
    limit_minutes: float | None = None,
    console: Console | None = None,
) -> int:
    """Train what is not there yet; every finished run is on the disk at once.

    Args:
        ladder: what is trained, and where.
        store: its corpus.
        jobs: processes side by side, each with an equal share of the cores; on one accelerator
            they share it.
        resume: go on in an existing folder.
        sizes: only these.
        limit_minutes: start nothing more after so long; what runs then is finished.
        console: where progress is shown.

    Returns:
        Units (a search, or a trunk with its branches) that are left to do.

    Raises:
        UserError: for an existing folder (without resume), a run folder that holds another
            recipe's run, a search in which every rate diverged, or a worker that died.
    """
    console = console or Console(stderr=True)
    recipe, folder = ladder.recipe, ladder.folder
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )
    searches, waiting = ladder.searches(), ladder.cells(sizes)
    for unit in searches.values():
        _check(unit, store)
    deadline = math.inf if limit_minutes is None else time.monotonic() + 60 * limit_minutes
    needed = {ladder.searched(cell) for cell in waiting}
    pending = [unit for cell, unit in searches.items() if cell in needed and not unit.is_finished()]
    total = len(pending) + sum(len(recipe.sizes[cell[1]].seeds) for cell in waiting)
    progress = _Progress(console, total)

    def ready() -> list[Unit]:
        """Units whose search has ended, the dearest first."""
        done = [cell for cell in waiting if searches[ladder.searched(cell)].is_finished()]
        found = [unit for cell in done for unit in ladder.units(cell)]
        for cell in done:
            waiting.remove(cell)
        for unit in found:
            _check(unit, store)
        progress.skip(sum(unit.is_finished() for unit in found))
        return [unit for unit in found if not unit.is_finished()]

    def more(finished: Unit | None) -> list[Unit]:
        if finished is not None:
            progress.finished(finished)
        if time.monotonic() > deadline:
            return []
        return sorted([*ready()], key=lambda unit: -unit.cost)

    first = sorted(pending, key=lambda unit: -unit.cost) + more(None)
    left = _run_units(first, more, jobs, lambda: time.monotonic() > deadline)
    return left + sum(len(recipe.sizes[cell[1]].seeds) for cell in waiting)


class Ladder:
    """A recipe with its parameters counted: what is to be run, and where it lies.

    Args:
        recipe: the ladder.
        store: its corpus.
        folder: of the ladder.
    """

    def __init__(self, recipe: LadderRecipe, store: TokenStore, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        setting = next(iter(recipe.settings))
        self.rungs: dict[str, Rung] = {
            size: rung_of(recipe, size, count_parameters(recipe, store, (setting, size, BASELINE)))
            for size in recipe.sizes
        }

    def searched(self, cell: Cell) -> Cell:
        """The cell in whose search a cell finds its rate."""
        setting, size, contestant = cell
        searched = self.recipe.search.sizes
        if searched is None or size in searched:
            return cell
        names = list(self.recipe.sizes)
        smaller = [name for name in names[: names.index(size)] if name in searched]
        with_it = [name for name in smaller if (setting, name, contestant) in self.recipe.cells()]
        return (setting, with_it[-1], contestant) if with_it else cell

    def searches(self) -> dict[Cell, Unit]:
        """The searches for rates; without any to choose from, each is finished at once."""
        recipe = self.recipe
        found = {}
        for cell in dict.fromkeys(self.searched(cell) for cell in recipe.cells()):
            setting, size, contestant = cell
            rung = self.rungs[size]
            steps = steps_for(recipe, size, recipe.search.budget, rung.num_parameters)
            factors = recipe.search.factors
            runs: list[tuple[str, dict[str, Any], int | None]] = [
                (
                    f"factor-{factor:g}",
                    recipe.experiment(
                        setting, size, contestant, factor=factor, **_ending(steps, "wsd")
                    ).to_dict(),
                    None,
                )
                for factor in factors
                if len(factors) > 1
            ]
            found[cell] = Unit(
                folder=str(self._cell_folder(cell) / "search"),
                contestant=contestant,
                seed=recipe.search.seed,
                runs=runs,
                cost=float(steps * len(runs) * rung.num_parameters),
            )
        return found

    def search_losses(self, cell: Cell) -> dict[float, float]:
        """Final losses of a search by factor; empty without a choice.

        Raises:
            UserError: if a run is missing.
        """
        unit = self.searches()[cell]
        factors = self.recipe.search.factors
        return {
            factor: read_result(Path(unit.folder) / name).final_loss
            for factor, (name, _, _) in zip(factors, unit.runs, strict=False)
        }

    def factor(self, cell: Cell) -> float:
        """The factor of the learning rates that a cell trains with.

        Raises:
            UserError: if every rate of its search diverged.
        """
        losses = self.search_losses(self.searched(cell))
        finite = {factor: loss for factor, loss in losses.items() if math.isfinite(loss)}
        if losses and not finite:
            raise UserError(
                f"every learning rate of the search for {'/'.join(cell)} diverged "
                f"({', '.join(f'{each:g}' for each in losses)}): add lower search.factors"
            )
        return min(finite, key=finite.__getitem__) if finite else self.recipe.search.factors[0]

    def cells(self, sizes: Sequence[str] | None = None) -> list[Cell]:
        """All that is trained, or that at some sizes.

        Raises:
            UserError: for a size that the ladder does not have.
        """
        unknown = [size for size in sizes or () if size not in self.recipe.sizes]
        if unknown:
            known = ", ".join(self.recipe.sizes)
            raise UserError(f"the ladder has no size {', '.join(unknown)}; it has {known}")
        return [cell for cell in self.recipe.cells() if sizes is None or cell[1] in sizes]

    def units(self, cell: Cell) -> list[Unit]:
        """The trunks of a cell with their branches, one unit for each seed."""
        _, size, contestant = cell
        rung, factor = self.rungs[size], self.factor(cell)
        trunk = _ending(rung.branch_steps[-1], "constant") | {
            "save_at_steps": rung.branch_steps[:-1]
        }
        runs: list[tuple[str, dict[str, Any], int | None]] = [
            ("trunk", self._recipe(cell, factor, trunk), None)
        ]
        for budget, steps, start in zip(
            rung.budgets, rung.num_steps, rung.branch_steps, strict=True
        ):
            runs.append(
                (branch_name(budget), self._recipe(cell, factor, _ending(steps, "wsd")), start)
            )
        return [
            Unit(
                folder=str(self.seed_folder(cell, seed)),
                contestant=contestant,
                seed=seed,
                runs=runs,
                cost=float(rung.num_steps[-1] * rung.num_parameters),
            )
            for seed in self.recipe.sizes[size].seeds
        ]

    def seed_folder(self, cell: Cell, seed: int) -> Path:
        """Where a trunk and its branches lie."""
        return self._cell_folder(cell) / f"seed{seed}"

    def _cell_folder(self, cell: Cell) -> Path:
        return self.folder.joinpath(*cell)

    def _recipe(self, cell: Cell, factor: float, training: dict[str, Any]) -> dict[str, Any]:
        return self.recipe.experiment(*cell, factor=factor, **training).to_dict()


def branch_name(budget: float) -> str:
    """The folder of a branch."""
    return f"branch-{budget:g}"


def count_parameters(recipe: LadderRecipe, store: TokenStore, cell: Cell) -> int:
    """Trainable scalars of a contestant."""
    own = recipe.experiment(*cell)
    model = open_objective(own, store).build(own.contestants[cell[2]], seed=0)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _ending(num_steps: int, schedule: str) -> dict[str, Any]:
    """Training that is measured and saved at its end alone."""
    return {
        "num_steps": num_steps,
        "schedule": schedule,
        "evaluate_every_steps": num_steps,
        "save_every_steps": num_steps,
        "save_at_steps": [],
    }


def _check(unit: Unit, store: TokenStore) -> None:
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


def _run_units(
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


class _Progress:
    """Lines that say how far a ladder is."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0

    def skip(self, count: int) -> None:
        self._total -= count

    def finished(self, unit: Unit) -> None:
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
