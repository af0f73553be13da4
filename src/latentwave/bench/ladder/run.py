"""Run a ladder: searches for rates, trunks, and a branch at every budget."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.recipe import LadderRecipe, Rung, rung_of, steps_for
from latentwave.bench.ladder.units import Progress, Unit, check_unit, run_units
from latentwave.bench.training import (
    BASELINE,
    open_objective,
    read_result,
)
from latentwave.errors import UserError

Cell = tuple[str, str, str]


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
            recipe's run, jobs < 1, a search in which every rate diverged, or a worker that died.
    """
    console = console or Console(stderr=True)
    recipe, folder = ladder.recipe, ladder.folder
    if jobs < 1:
        raise UserError(f"jobs must be >= 1, got {jobs}")
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )
    searches, waiting = ladder.searches(), ladder.cells(sizes)
    for unit in searches.values():
        check_unit(unit, store)
    deadline = math.inf if limit_minutes is None else time.monotonic() + 60 * limit_minutes
    needed = {ladder.searched(cell) for cell in waiting}
    pending = [unit for cell, unit in searches.items() if cell in needed and not unit.is_finished()]
    total = len(pending) + sum(len(recipe.sizes[cell[1]].seeds) for cell in waiting)
    progress = Progress(console, total)

    def ready() -> list[Unit]:
        """Units whose search has ended, the dearest first."""
        done = [cell for cell in waiting if searches[ladder.searched(cell)].is_finished()]
        found = [unit for cell in done for unit in ladder.units(cell)]
        for cell in done:
            waiting.remove(cell)
        for unit in found:
            check_unit(unit, store)
        progress.skip(sum(unit.is_finished() for unit in found))
        return [unit for unit in found if not unit.is_finished()]

    def more(finished: Unit | None) -> list[Unit]:
        if finished is not None:
            progress.finished(finished)
        if time.monotonic() > deadline:
            return []
        return sorted([*ready()], key=lambda unit: -unit.cost)

    first = sorted(pending, key=lambda unit: -unit.cost) + more(None)
    left = run_units(first, more, jobs, lambda: time.monotonic() > deadline)
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
