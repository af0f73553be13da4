"""Run a ladder: searches for rates, trunks, and a branch at every budget."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.bench.comparison import Workers
from latentwave.bench.comparison.planning import rate_beyond
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.recipe import Cell, LadderRecipe, Rung, rung_of, steps_for
from latentwave.bench.ladder.units import TRUNK, Run, Unit, run_unit
from latentwave.bench.training import BASELINE, open_objective, settle_compilation
from latentwave.bench.training.optimizers import check_warmup
from latentwave.errors import UserError


def run_ladder(
    ladder: Ladder,
    store: TokenStore,
    *,
    workers: Workers | None = None,
    resume: bool = False,
    sizes: Sequence[str] | None = None,
    limit_minutes: float | None = None,
    console: Console | None = None,
) -> int:
    """Train what is not there yet; every finished run is on the disk at once.

    `workers` says where: by default in this process. After `limit_minutes` nothing more is
    started; what runs then is finished. If some runs fail, the others end first.

    Returns:
        Units (a search, or a trunk with its branches) that are left to do.

    Raises:
        UserError: for an existing folder (without resume), a run folder that holds another
            recipe's run, a search in which every rate diverged, or a worker that died.
    """
    console = console or Console(stderr=True)
    folder = ladder.folder
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )
    searches, cells = ladder.searches, ladder.cells(sizes)
    for unit in searches.values():
        unit.check(store)
    deadline = math.inf if limit_minutes is None else time.monotonic() + 60 * limit_minutes
    needed = dict.fromkeys(ladder.searched(cell) for cell in cells)
    waiting = [searches[cell] for cell in needed if not searches[cell].is_finished()]
    unsearched, total = list(cells), ladder.num_left(cells)
    failed: dict[Path, BaseException] = {}

    def add_ready() -> None:
        """Let trunks wait whose search has ended, or widen the search.

        First all searches, then the first seed of every cell, and so on, the dearest first, so
        that a ladder that is stopped has about as many seeds of all contestants.
        """
        nonlocal total
        wider = [searches[cell] for cell in needed if ladder.widen(cell)]
        waiting.extend(wider)
        total += len(wider)
        ready = [cell for cell in unsearched if searches[ladder.searched(cell)].is_finished()]
        unsearched[:] = [cell for cell in unsearched if cell not in ready]
        for unit in (unit for cell in ready for unit in ladder.units(cell)):
            unit.check(store)
            if not unit.is_finished():
                waiting.append(unit)
        waiting.sort(key=lambda unit: (unit.turn, -unit.cost))

    add_ready()
    ends = (workers or Workers()).each(run_unit, waiting, lambda: time.monotonic() > deadline)
    with contextlib.closing(ends) as ended:
        for count, (unit, error) in enumerate(ended, start=1):
            if error is not None:  # the others need not suffer from it
                failed[unit.folder] = error
                continue
            add_ready()
            losses = " ".join(f"{loss:.4f}" for loss in unit.losses())
            where = "/".join(unit.folder.parts[-4:])
            console.print(f"[{count}/{total}] {where}: {losses}", soft_wrap=True, markup=False)
    if failed:
        place, first = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of the ladder's trunks or searches failed, {place} with "
            f"{type(first).__name__}: {first}; the others are kept"
        ) from first
    return ladder.num_left(cells)


class Ladder:
    """A recipe with its parameters counted: what is to be run, and the folder where it lies."""

    def __init__(self, recipe: LadderRecipe, store: TokenStore, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self._rungs: dict[tuple[str, str], Rung] = {}
        for size in recipe.sizes:
            # All settings of a size read the same tokens, so that their losses can be compared.
            plain = recipe.experiment(Cell(recipe.headline, size, BASELINE))
            objective = open_objective(plain, store)
            if objective.task != "language-model":
                raise UserError(
                    f"a ladder counts tokens per parameter, but the corpus "
                    f"{store.metadata.corpus!r} has labelled documents: use latentwave compare"
                )
            model = objective.build(plain.contestants[BASELINE], seed=0)
            num_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
            for setting in recipe.settings_of(size):
                rung = rung_of(recipe, setting, size, num_parameters)
                # A trunk and its branches are one run, so they compute alike.
                ending = _ending(rung.num_steps[-1], "wsd")
                whole = recipe.experiment(Cell(setting, size, BASELINE), **ending)
                compiled = bool(settle_compilation(whole, store).training.compile)
                self._rungs[setting, size] = dataclasses.replace(rung, compiled=compiled)

        # For rates; without any to choose from, each is finished at once.
        searched = dict.fromkeys(self.searched(cell) for cell in recipe.cells())
        self.factors = dict.fromkeys(searched, recipe.search.factors)
        self.searches = {cell: self._search(cell) for cell in searched}
        for cell in searched:
            while self.widen(cell):
                pass

    def rung(self, cell: Cell) -> Rung:
        """The steps of a cell."""
        return self._rungs[cell.setting, cell.size]

    def searched(self, cell: Cell) -> Cell:
        """The cell in whose search a cell finds its rate."""
        searched, names = self.recipe.search.sizes, list(self.recipe.sizes)
        if searched is None or cell.size in searched:
            return cell
        smaller = [name for name in names[: names.index(cell.size)] if name in searched]
        places = [cell._replace(size=name) for name in smaller]
        with_it = [place for place in places if place in self.recipe.cells()]
        return with_it[-1] if with_it else cell

    def _search(self, cell: Cell) -> Unit:
        search, factors, num_parameters = (
            self.recipe.search,
            self.factors[cell],
            self.rung(cell).num_parameters,
        )
        steps = steps_for(self.recipe.experiment(cell), search.budget, num_parameters)
        runs: list[Run] = []
        for factor in factors if len(factors) > 1 else ():
            own = self.recipe.experiment(cell, factor=factor, **_ending(steps, "wsd"))
            try:
                check_warmup(own.training)
            except UserError as error:
                where = f"search.budget {search.budget:g} at size {cell.size!r}"
                raise UserError(f"{where} is too small: {error}") from error
            runs.append((f"factor-{factor:g}", own, None))
        return Unit(
            folder=self.folder.joinpath(*cell, "search"),
            contestant=cell.contestant,
            seed=search.seed,
            runs=runs,
            turn=0,
            cost=search.budget * len(runs) * num_parameters**2,
        )

    def widen(self, cell: Cell) -> bool:
        """Add the next factor to a search that ended at an end of its grid; whether it did."""
        search, factors = self.recipe.search, self.factors[cell]
        widened = len(factors) - len(search.factors)
        if widened >= search.widen or not self.searches[cell].is_finished():
            return False
        beyond = rate_beyond(self.search_losses(cell))
        if beyond is None:
            return False
        self.factors[cell] = sorted([*factors, beyond])
        self.searches[cell] = self._search(cell)
        return True

    def search_losses(self, cell: Cell) -> dict[float, float]:
        """Final losses of a finished search by factor; empty without a choice."""
        return dict(zip(self.factors[cell], self.searches[cell].losses(), strict=False))

    def factor(self, cell: Cell) -> float:
        """The factor of the learning rates that a cell trains with."""
        losses = self.search_losses(self.searched(cell))
        finite = {factor: loss for factor, loss in losses.items() if math.isfinite(loss)}
        if losses and not finite:
            raise UserError(
                f"every learning rate of the search for {'/'.join(cell)} diverged "
                f"({', '.join(f'{each:g}' for each in losses)}): add lower search.factors"
            )
        return min(finite, key=finite.__getitem__) if finite else self.recipe.search.factors[0]

    def cells(self, sizes: Sequence[str] | None = None) -> list[Cell]:
        """All that is trained, or that at some sizes."""
        unknown = [size for size in sizes or () if size not in self.recipe.sizes]
        if unknown:
            known = ", ".join(self.recipe.sizes)
            raise UserError(f"the ladder has no size {', '.join(unknown)}; it has {known}")
        return [cell for cell in self.recipe.cells() if sizes is None or cell.size in sizes]

    def num_left(self, cells: Sequence[Cell]) -> int:
        """Searches and trunks that are still to be trained for these cells."""
        needed = dict.fromkeys(self.searched(cell) for cell in cells)
        left = sum(not self.searches[cell].is_finished() for cell in needed)
        for cell in cells:
            if self.searches[self.searched(cell)].is_finished():
                left += sum(not unit.is_finished() for unit in self.units(cell))
            else:
                left += len(self.recipe.sizes[cell.size].seeds)
        return left

    def units(self, cell: Cell) -> list[Unit]:
        """The trunks of a cell with their branches, one unit for each seed."""
        rung, factor = self.rung(cell), self.factor(cell)
        ending = _ending(rung.branch_steps[-1], "constant") | {"compile": rung.compiled}
        ending["save_at_steps"] = rung.branch_steps[:-1]
        runs: list[Run] = [(TRUNK, self.recipe.experiment(cell, factor=factor, **ending), None)]
        for budget, steps, start in zip(
            rung.budgets, rung.num_steps, rung.branch_steps, strict=True
        ):
            ending = _ending(steps, "wsd") | {"compile": rung.compiled}
            branch = self.recipe.experiment(cell, factor=factor, **ending)
            runs.append((branch_name(budget), branch, start))
        return [
            Unit(
                folder=self.seed_folder(cell, seed),
                contestant=cell.contestant,
                seed=seed,
                runs=runs,
                turn=turn,
                cost=rung.budgets[-1] * rung.num_parameters**2,
            )
            for turn, seed in enumerate(self.recipe.sizes[cell.size].seeds, start=1)
        ]

    def seed_folder(self, cell: Cell, seed: int) -> Path:
        """Where a trunk and its branches lie."""
        return self.folder.joinpath(*cell, f"seed{seed}")


def branch_name(budget: float) -> str:
    """The folder of a branch."""
    return f"branch-{budget:g}"


def _ending(num_steps: int, schedule: str) -> dict[str, Any]:
    """Training that is measured and saved at its end alone."""
    return {
        "num_steps": num_steps,
        "schedule": schedule,
        "evaluate_every_steps": num_steps,
        "save_every_steps": num_steps,
        "save_at_steps": [],
    }
