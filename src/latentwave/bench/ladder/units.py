"""Runs a unit of a ladder: a trunk and its branches, one after the other in one process."""

import dataclasses
import shutil
from pathlib import Path

from rich.console import Console

from latentwave.bench.comparison.planning import shortest
from latentwave.bench.data import TokenStore
from latentwave.bench.training import (
    Recipe,
    check_folder,
    describe_run,
    prepared_store,
    read_result,
    train,
)
from latentwave.bench.training.checkpoint import checkpoint_step, list_checkpoints
from latentwave.bench.training.files import CHECKPOINTS, MODEL, RECORD, RESULT
from latentwave.bench.training.result import open_folder, read_record, write_record, write_result

TRUNK = "trunk"
# The settings of a trunk that only say how far it goes.
_LENGTH = ("num_steps", "evaluate_every_steps", "save_every_steps", "save_at_steps")
Run = tuple[str, Recipe, int | None]
"""Folder name, recipe, and the step of the trunk where the run begins, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A trunk and its branches; the unit of a search may be a single run without a trunk."""

    folder: Path
    contestant: str
    seed: int  # of weights and batches
    factor: float  # of the learning rates
    budgets: list[float]  # where branches end, in tokens per parameter
    runs: list[Run]  # the trunk, then a branch for each budget
    turn: int  # 0 for a search, n for a cell's nth seed; lower turns start first
    cost: float  # tokens times parameters; within a turn, the highest start first

    def is_finished(self) -> bool:
        """Whether all branches have results; those of the trunk are not needed."""
        return all(self._has(name) for name, *_ in self.runs if name != TRUNK)

    def losses(self) -> dict[float, float]:
        """Final losses of the finished branches, by budget."""
        ended = (each for each in self.budgets if self._has(branch_name(each)))
        return {budget: read_result(self.branch(budget)).final_loss for budget in ended}

    def branch(self, budget: float) -> Path:
        """The folder of the run that ends at a budget."""
        return self.folder / branch_name(budget)

    @property
    def num_steps(self) -> int:
        """The steps of all runs, each counted from where it begins."""
        return sum(recipe.training.num_steps - (start or 0) for _, recipe, start in self.runs)

    def check(self, store: TokenStore) -> None:
        """Refuse finished runs of another recipe, which would not be trained again.

        Only a trunk may have another length, because it continues when larger budgets are added.
        """
        for name, recipe, start in self.runs:
            trunk = self._checkpoint(start)
            record = describe_run(recipe, self.contestant, self.seed, store, trunk)
            if name == TRUNK and (self.folder / name / RECORD).is_file():
                known = read_record(self.folder / name)["training"]
                record["training"] |= {key: known[key] for key in _LENGTH}
            check_folder(self.folder / name, record)

    def _has(self, name: str) -> bool:
        return (self.folder / name / RESULT).is_file()

    def _checkpoint(self, step: int | None) -> Path | None:
        return None if step is None else self.folder / TRUNK / CHECKPOINTS / f"checkpoint-{step}"


def branch_name(budget: float) -> str:
    """The folder of a branch, inside that of its unit."""
    return f"branch-{shortest(budget)}"


def run_unit(unit: Unit) -> None:
    """Execute a unit in this process, or continue it where it stopped."""
    folder, trunk, console = unit.folder, unit.folder / TRUNK, Console(quiet=True)
    store = prepared_store(unit.runs[0][1].corpus, warn=False)
    starts = {unit._checkpoint(start) for name, _, start in unit.runs if not unit._has(name)}
    missing = [checkpoint_step(path) for path in starts if path and not path.is_dir()]
    for name, recipe, start in unit.runs:
        if name == TRUNK and missing:
            # The trunk was shorter, or its checkpoints were removed: reuse the earlier ones.
            (trunk / RESULT).unlink(missing_ok=True)
            for path in list_checkpoints(trunk):
                if checkpoint_step(path) > min(missing):
                    shutil.rmtree(path)
            if (trunk / RECORD).is_file():
                write_record(trunk, describe_run(recipe, unit.contestant, unit.seed, store))
        elif unit._has(name) or name == TRUNK:
            continue
        checkpoint = unit._checkpoint(start)
        if checkpoint is not None and not checkpoint.is_dir():
            ended = read_result(trunk)
            if ended.diverged_at is not None:  # before the branch begins, which diverges with it
                record = describe_run(recipe, unit.contestant, unit.seed, store, checkpoint)
                open_folder(folder / name, record, resume=True)
                write_result(folder / name, ended)
                continue
        train(
            recipe,
            unit.contestant,
            unit.seed,
            store,
            folder / name,
            resume=True,
            console=console,
            start_from=checkpoint,
        )
        shutil.rmtree(folder / name / MODEL, ignore_errors=True)
        if name != TRUNK:
            shutil.rmtree(folder / name / CHECKPOINTS, ignore_errors=True)
    for path in list_checkpoints(trunk)[1:]:  # a longer trunk can continue from the last one
        shutil.rmtree(path)
