"""What a ladder trains, and the folder where it lies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from latentwave.bench.comparison.planning import best_rate, rate_beyond
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.recipe import Cell, LadderRecipe
from latentwave.bench.ladder.units import TRUNK, Run, Unit, branch_name
from latentwave.bench.training import BASELINE, Recipe, open_objective, settle_compilation
from latentwave.bench.training.optimizers import check_warmup, first_decay_step
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """The budgets of one size, in tokens per parameter, as steps of one setting."""

    num_parameters: int  # of the plain backbone, on the headline's setting
    num_steps: dict[float, int]  # of the run that ends at each budget, ascending
    branch_steps: dict[float, int]  # where it leaves the trunk
    compiled: bool  # whether its trunks and branches are


class Ladder:
    """A recipe with its parameters counted: what is to be run, and the folder where it lies.

    A unit trains one contestant with one seed at one factor of its learning rates, in the folder
    SETTING/SIZE/CONTESTANT/seedN/factor-F.
    """

    def __init__(self, recipe: LadderRecipe, store: TokenStore, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self._rungs: dict[tuple[str, str], Rung] = {}
        smaller = 0
        for size in recipe.sizes:
            # All settings of a size read the same tokens, so that their losses can be compared.
            plain = recipe.experiment(Cell(next(iter(recipe.settings)), size, BASELINE))
            objective = open_objective(plain, store)
            if objective.task != "language-model":
                raise UserError(
                    f"a ladder counts tokens per parameter, but the corpus "
                    f"{store.metadata.corpus!r} has labelled documents: use latentwave compare"
                )
            model = objective.build(plain.contestants[BASELINE], seed=0)
            num_parameters = model.num_parameters(only_trainable=True)
            if num_parameters < smaller:
                raise UserError(
                    f"sizes must stand smallest first, but {size!r} with {num_parameters:,} "
                    f"parameters comes after one with {smaller:,}: change their order"
                )
            smaller = num_parameters
            for setting in recipe.settings_of(size):
                self._rungs[setting, size] = self._rung_of(setting, size, num_parameters, store)

        # For rates, one unit for each factor; none where there is no choice.
        factors = recipe.search.factors if len(recipe.search.factors) > 1 else []
        self.searches = {
            cell: [self._search(cell, factor) for factor in factors]
            for cell in dict.fromkeys(self.searched(cell) for cell in recipe.cells())
        }
        for cell in self.searches:
            while self.widen(cell):
                pass

    def rung(self, cell: Cell) -> Rung:
        """The steps of a cell."""
        return self._rungs[cell.setting, cell.size]

    def searched(self, cell: Cell) -> Cell:
        """The cell in whose search a cell finds its rates."""
        searched, names = self.recipe.search.sizes, list(self.recipe.sizes)
        if searched is None or cell.size in searched:
            return cell
        smaller = [name for name in names[: names.index(cell.size)] if name in searched]
        places = [cell._replace(size=name) for name in smaller]
        with_it = [place for place in places if place in self.recipe.cells()]
        return with_it[-1] if with_it else cell

    def is_searched(self, cell: Cell) -> bool:
        """Whether the search of a cell has ended, so that its trunks can start."""
        return all(unit.is_finished() for unit in self.searches[self.searched(cell)])

    def widen(self, cell: Cell) -> list[Unit]:
        """Add to a search that has ended the next factors beyond the ends of its grids.

        A budget whose best factor lies inside its grid, or that was widened as often as the recipe
        allows, needs none. Returns what was added.
        """
        search = self.recipe.search
        beyond: dict[float, list[float]] = {}
        if self.is_searched(cell):
            for budget, losses in self.search_losses(cell).items():
                factor = rate_beyond(losses)
                if factor is not None and len(losses) < len(search.factors) + search.widen:
                    beyond.setdefault(factor, []).append(budget)
        added = [self._search(cell, factor, budgets) for factor, budgets in beyond.items()]
        self.searches[cell] += added
        return added

    def search_losses(self, cell: Cell) -> dict[float, dict[float, float]]:
        """Final losses of a finished search, by budget and factor; empty without a choice."""
        found: dict[float, dict[float, float]] = {}
        for unit in sorted(self.searches[cell], key=lambda unit: unit.factor):
            for budget, loss in unit.losses().items():
                found.setdefault(budget, {})[unit.factor] = loss
        return found

    def factors(self, cell: Cell) -> dict[float, float]:
        """The factor of the learning rates that a cell trains with, by budget.

        It is the best one of the budget that is nearest among those of the search.
        """
        source = self.searched(cell)
        best = {budget: best_rate(losses) for budget, losses in self.search_losses(source).items()}

        def factor(budget: float) -> float:
            if not best:
                return self.recipe.search.factors[0]
            return best[min(best, key=lambda each: abs(math.log(each / budget)))]

        return {budget: factor(budget) for budget in self.recipe.budgets_of(cell.size)}

    def cells(self, sizes: Sequence[str] | None = None) -> list[Cell]:
        """All that is trained, or that at some sizes."""
        known = ", ".join(self.recipe.sizes)
        if sizes is not None and not sizes:
            raise UserError(f"name at least one size of the ladder, got none; it has {known}")
        unknown = [size for size in sizes or () if size not in self.recipe.sizes]
        if unknown:
            raise UserError(f"the ladder has no size {', '.join(unknown)}; it has {known}")
        return [cell for cell in self.recipe.cells() if sizes is None or cell.size in sizes]

    def num_left(self, cells: Sequence[Cell]) -> int:
        """Units that are still to be trained for these cells, as far as searches have ended."""
        left = len(self.unfinished_searches(self.searched(cell) for cell in cells))
        for cell in cells:
            left += sum(not unit.is_finished() for unit in self.units(cell))
        return left

    def unfinished_searches(self, cells: Iterable[Cell]) -> list[Unit]:
        """What the searches of these cells still have to train."""
        return [
            unit
            for cell in dict.fromkeys(cells)
            for unit in self.searches[cell]
            if not unit.is_finished()
        ]

    def units(self, cell: Cell) -> list[Unit]:
        """The trunks of a cell with their branches, for each seed one at every factor it trains at.

        Before its search has ended that is the first factor of the recipe at all budgets, as good
        as any to count with.
        """
        budgets, first = self.recipe.budgets_of(cell.size), self.recipe.search.factors[0]
        chosen = self.factors(cell) if self.is_searched(cell) else dict.fromkeys(budgets, first)
        return [
            self._unit(cell, seed, factor, [b for b in budgets if chosen[b] == factor], turn)
            for turn, seed in enumerate(self.recipe.sizes[cell.size].seeds, start=1)
            for factor in sorted(set(chosen.values()))
        ]

    def _rung_of(self, setting: str, size: str, num_parameters: int, store: TokenStore) -> Rung:
        """Budgets of a size as steps, which must rise after the warm-up."""
        budgets, cell = self.recipe.budgets_of(size), Cell(setting, size, BASELINE)
        plain = self.recipe.experiment(cell)
        settings = plain.training
        steps = {budget: _steps_for(plain, budget, num_parameters) for budget in budgets}
        branches = {b: first_decay_step(end, settings.decay_fraction) for b, end in steps.items()}
        starts = list(branches.values())
        if len(set(starts)) < len(starts) or starts[0] <= settings.num_warmup_steps:
            raise UserError(
                f"size {size!r} has {num_parameters} parameters, and its budgets {budgets} make "
                f"runs of {list(steps.values())} steps on setting {setting!r} that leave the trunk "
                f"at {starts}: these must rise and come after the {settings.num_warmup_steps} "
                "steps of warm-up; use larger budgets, a smaller batch or a shorter warm-up"
            )
        # A trunk and its branches are one run, so they compute alike.
        whole = self.recipe.experiment(cell, **_ending(steps[budgets[-1]], "wsd"))
        return Rung(
            num_parameters=num_parameters,
            num_steps=steps,
            branch_steps=branches,
            compiled=bool(settle_compilation(whole, store).training.compile),
        )

    def _search(self, cell: Cell, factor: float, budgets: list[float] | None = None) -> Unit:
        """What a search trains at a factor, by default for all its budgets."""
        search = self.recipe.search
        own = self.recipe.budgets_of(cell.size) if search.budget is None else [search.budget]
        return self._unit(cell, search.seed, factor, budgets or own, turn=0)

    def _unit(self, cell: Cell, seed: int, factor: float, budgets: list[float], turn: int) -> Unit:
        lone = turn == 0 and self.recipe.search.budget is not None
        runs_of = self._lone_run if lone else self._trunk
        return Unit(
            folder=self.folder.joinpath(*cell, f"seed{seed}", f"factor-{factor:g}"),
            contestant=cell.contestant,
            seed=seed,
            factor=factor,
            budgets=budgets,
            runs=runs_of(cell, factor, budgets),
            turn=turn,
            cost=budgets[-1] * self.rung(cell).num_parameters ** 2,
        )

    def _trunk(self, cell: Cell, factor: float, budgets: list[float]) -> list[Run]:
        """A trunk and its branches at some budgets of the ladder."""
        rung = self.rung(cell)
        starts, compiled = rung.branch_steps, {"compile": rung.compiled}
        ending = _ending(starts[budgets[-1]], "constant") | compiled
        ending["save_at_steps"] = [starts[budget] for budget in budgets[:-1]]
        runs: list[Run] = [(TRUNK, self.recipe.experiment(cell, factor=factor, **ending), None)]
        for budget in budgets:
            ending = _ending(rung.num_steps[budget], "wsd") | compiled
            branch = self.recipe.experiment(cell, factor=factor, **ending)
            runs.append((branch_name(budget), branch, starts[budget]))
        return runs

    def _lone_run(self, cell: Cell, factor: float, budgets: list[float]) -> list[Run]:
        """A run of a search at its own budget."""
        (budget,) = budgets
        steps = _steps_for(self.recipe.experiment(cell), budget, self.rung(cell).num_parameters)
        own = self.recipe.experiment(cell, factor=factor, **_ending(steps, "wsd"))
        try:
            check_warmup(own.training)
        except UserError as error:
            where = f"search.budget {budget:g} at size {cell.size!r}"
            raise UserError(f"{where} is too small: {error}") from error
        return [(branch_name(budget), own, None)]


def _ending(num_steps: int, schedule: str) -> dict[str, Any]:
    """Training that is measured and saved at its end alone."""
    return {
        "num_steps": num_steps,
        "schedule": schedule,
        "evaluate_every_steps": num_steps,
        "save_every_steps": num_steps,
        "save_at_steps": [],
    }


def _steps_for(recipe: Recipe, budget: float, num_parameters: int) -> int:
    """Steps that read `budget` tokens per parameter, rounded."""
    per_step = recipe.training.batch_size * recipe.backbone.context_length
    return max(1, round(budget * num_parameters / per_step))
