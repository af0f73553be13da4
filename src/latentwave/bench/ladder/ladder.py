"""Lists what a ladder trains: searches for learning rates, then trunks with their branches."""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from latentwave.bench.comparison.planning import best_rate, rate_beyond, shortest
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.recipe import Cell, LadderRecipe
from latentwave.bench.ladder.units import TRUNK, Run, Unit, branch_name
from latentwave.bench.training import BASELINE, Recipe, open_objective, settle_compilation
from latentwave.bench.training.optimizers import check_warmup, first_decay_step
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """One size on one setting, its budgets (tokens per parameter) converted to steps."""

    num_parameters: int  # of the plain backbone, on the first setting
    num_steps: dict[float, int]  # of the run that ends at each budget, ascending
    branch_steps: dict[float, int]  # where that run leaves the trunk
    compiled: bool  # whether trunks and branches are


class Ladder:
    """A recipe in its folder, as units to run.

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
                    f"sizes must be listed smallest first, but {size!r} with {num_parameters:,} "
                    f"parameters comes after one with {smaller:,}: change their order"
                )
            smaller = num_parameters
            for setting in recipe.settings_of(size):
                self._rungs[setting, size] = self._rung_of(setting, size, num_parameters, store)

        # The search of each cell has one unit per factor, and none if there is no choice.
        factors = recipe.search.factors if len(recipe.search.factors) > 1 else []
        self.searches = {
            cell: [self._search(cell, factor) for factor in factors]
            for cell in dict.fromkeys(self.searched(cell) for cell in recipe.cells())
        }
        for cell in self.searches:
            while self._widen(cell):
                pass

    def rung(self, cell: Cell) -> Rung:
        """The size and setting of a cell."""
        return self._rungs[cell.setting, cell.size]

    def searched(self, cell: Cell) -> Cell:
        """The cell whose search gives a cell its learning rates."""
        searched, names = self.recipe.search.sizes, list(self.recipe.sizes)
        if searched is None or cell.size in searched:
            return cell
        smaller = [name for name in names[: names.index(cell.size)] if name in searched]
        cells = [cell._replace(size=name) for name in smaller]
        return ([each for each in cells if each in self.recipe.cells()] or [cell])[-1]

    def is_searched(self, cell: Cell) -> bool:
        """Whether the search of a cell has ended at all budgets, so that its trunks can start."""
        return all(unit.is_finished() for unit in self.searches[self.searched(cell)])

    def widen(self, cell: Cell) -> list[Unit]:
        """Extend a finished search by the next factors beyond the ends of its grids.

        Only budgets whose best factor lies at an end need one, as often as the recipe allows.
        Returns what was added.
        """
        return self._widen(cell) if self.is_searched(cell) else []

    def _widen(self, cell: Cell) -> list[Unit]:
        """`widen`, also where the search has ended at some budgets only.

        Only before anything runs: a unit that is being trained must not gain budgets.
        """
        search = self.recipe.search
        beyond: dict[float, list[float]] = {}
        for budget, losses in self.search_losses(cell).items():
            factor = rate_beyond(losses)
            if factor is not None and len(losses) < len(search.factors) + search.widen:
                beyond.setdefault(factor, []).append(budget)
        units = {unit.factor: unit for unit in self.searches[cell]}
        added = []
        for factor, budgets in beyond.items():
            # Other budgets may have needed it before these were added to the recipe.
            before = units[factor].budgets if factor in units else []
            units[factor] = self._search(cell, factor, sorted({*before, *budgets}))
            added.append(units[factor])
        self.searches[cell] = list(units.values())
        return added

    def search_losses(self, cell: Cell) -> dict[float, dict[float, float]]:
        """Final losses of a search by budget and factor, at budgets where it has ended."""
        found: dict[float, dict[float, float]] = {}
        units = sorted(self.searches[cell], key=lambda unit: unit.factor)
        for unit in units:
            for budget, loss in unit.losses().items():
                found.setdefault(budget, {})[unit.factor] = loss
        numbers = collections.Counter(budget for unit in units for budget in unit.budgets)
        return {b: losses for b, losses in found.items() if len(losses) == numbers[b]}

    def factors(self, cell: Cell) -> dict[float, float]:
        """The factor of the learning rates that a cell trains with, by budget.

        It is the best factor of the nearest budget that is searched, once its search has ended.
        """
        budgets, searched = self.recipe.budgets_of(cell.size), self.searched(cell)
        places = sorted({budget for unit in self.searches[searched] for budget in unit.budgets})
        if not places:
            return dict.fromkeys(budgets, self.recipe.search.factors[0])
        nearest = {b: min(places, key=lambda each: abs(math.log(each / b))) for b in budgets}
        losses = self.search_losses(searched)
        return {b: best_rate(losses[near]) for b, near in nearest.items() if near in losses}

    def cells(self, only: Sequence[str] | None = None) -> list[Cell]:
        """Everything that is trained, or `only` what is at some sizes, on some settings."""
        cells, sizes, settings = self.recipe.cells(), self.recipe.sizes, self.recipe.settings
        if only is None:
            return cells
        unknown = [name for name in only if name not in sizes | settings]
        if not only or unknown:
            raise UserError(
                f"the ladder has no size or setting {', '.join(unknown) or only}; it has the sizes "
                f"{', '.join(sizes)} and the settings {', '.join(settings)}"
            )
        sizes_kept = sizes.keys() & only or sizes.keys()
        settings_kept = settings.keys() & only or settings.keys()
        chosen = [
            each for each in cells if each.size in sizes_kept and each.setting in settings_kept
        ]
        if not chosen:
            raise UserError(f"the ladder trains nothing at {', '.join(only)}")
        return chosen

    def num_left(self, cells: Sequence[Cell]) -> int:
        """Units that these cells still have to train, as far as searches have ended."""
        left = len(self.unfinished_searches(self.searched(cell) for cell in cells))
        return left + sum(not unit.is_finished() for cell in cells for unit in self.units(cell))

    def unfinished_searches(self, cells: Iterable[Cell]) -> list[Unit]:
        """What the searches of these cells still have to train."""
        units = itertools.chain(*(self.searches[cell] for cell in dict.fromkeys(cells)))
        return [unit for unit in units if not unit.is_finished()]

    def units(self, cell: Cell) -> list[Unit]:
        """The trunks of a cell with their branches, one per seed and factor.

        Where its search has not ended, the recipe's first factor stands in.
        """
        budgets, first = self.recipe.budgets_of(cell.size), self.recipe.search.factors[0]
        chosen = dict.fromkeys(budgets, first) | self.factors(cell)
        return [
            self._unit(cell, seed, factor, [b for b in budgets if chosen[b] == factor], turn)
            for turn, seed in enumerate(self.recipe.sizes[cell.size].seeds, start=1)
            for factor in sorted(set(chosen.values()))
        ]

    def _rung_of(self, setting: str, size: str, num_parameters: int, store: TokenStore) -> Rung:
        """The budgets of a size as steps; branches must start in turn, after the warm-up."""
        budgets, cell = self.recipe.budgets_of(size), Cell(setting, size, BASELINE)
        plain = self.recipe.experiment(cell)
        training = plain.training
        steps = {budget: _steps_for(plain, budget, num_parameters) for budget in budgets}
        branches = {b: first_decay_step(end, training.decay_fraction) for b, end in steps.items()}
        starts = list(branches.values())
        if len(set(starts)) < len(starts) or starts[0] <= training.num_warmup_steps:
            raise UserError(
                f"size {size!r} has {num_parameters} parameters, and its budgets {budgets} make "
                f"runs of {list(steps.values())} steps on setting {setting!r} that leave the trunk "
                f"at {starts}: these must rise and come after the {training.num_warmup_steps} "
                "steps of warm-up; use larger budgets, a smaller batch or a shorter warm-up"
            )
        # A trunk and its branches are one run, so all are compiled or none.
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
        if search.budget is not None:
            budgets = [search.budget]
        budgets = budgets or self.recipe.budgets_of(cell.size)
        return self._unit(cell, search.seed, factor, budgets, turn=0)

    def _unit(self, cell: Cell, seed: int, factor: float, budgets: list[float], turn: int) -> Unit:
        is_single = turn == 0 and self.recipe.search.budget is not None
        list_runs = self._single_run if is_single else self._trunk_and_branches
        return Unit(
            folder=self.folder.joinpath(*cell, f"seed{seed}", f"factor-{shortest(factor)}"),
            contestant=cell.contestant,
            seed=seed,
            factor=factor,
            budgets=budgets,
            runs=list_runs(cell, factor, budgets),
            turn=turn,
            cost=budgets[-1] * self.rung(cell).num_parameters ** 2,
        )

    def _trunk_and_branches(self, cell: Cell, factor: float, budgets: list[float]) -> list[Run]:
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

    def _single_run(self, cell: Cell, factor: float, budgets: list[float]) -> list[Run]:
        """The run of a search that has one budget for all."""
        (budget,) = budgets
        steps = _steps_for(self.recipe.experiment(cell), budget, self.rung(cell).num_parameters)
        run = self.recipe.experiment(cell, factor=factor, **_ending(steps, "wsd"))
        try:
            check_warmup(run.training)
        except UserError as error:
            where = f"search.budget {budget:g} at size {cell.size!r}"
            raise UserError(f"{where} is too small: {error}") from error
        return [(branch_name(budget), run, None)]


def _ending(num_steps: int, schedule: str) -> dict[str, Any]:
    """Training settings of a run that is evaluated and saved only at its end."""
    return {
        "num_steps": num_steps,
        "schedule": schedule,
        "evaluate_every_steps": num_steps,
        "save_every_steps": num_steps,
        "save_at_steps": [],
    }


def _steps_for(recipe: Recipe, budget: float, num_parameters: int) -> int:
    """The number of steps that read `budget` tokens per parameter, rounded."""
    per_step = recipe.training.batch_size * recipe.backbone.context_length
    return max(1, round(budget * num_parameters / per_step))
