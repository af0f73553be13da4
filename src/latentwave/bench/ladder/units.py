"""Units of a ladder: a trunk and its branches, which one process executes in turn."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from rich.console import Console

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
# Of a trunk's training, what says no more than how far it goes.
_LENGTH = ("num_steps", "evaluate_every_steps", "save_every_steps", "save_at_steps")
Run = tuple[str, Recipe, int | None]
"""The name of its folder, its recipe, and the step of the trunk where it begins, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A trunk and its branches, which one process executes in turn; a lone run has no trunk."""

    folder: Path
    contestant: str
    seed: int  # of weights and batches
    factor: float  # of the learning rates
    budgets: list[float]  # where branches end, in tokens per parameter
    runs: list[Run]  # the trunk, then a branch for each budget
    turn: int  # 0 for a search, n for a cell's nth seed: one turn starts before the next
    cost: float  # tokens times parameters, to start the longest of a turn first

    def is_finished(self) -> bool:
        """Whether all results are there; a trunk's is of no use once its branches have ended."""
        return all(self._has(name) for name, *_ in self.runs if name != TRUNK)

    def losses(self) -> dict[float, float]:
        """Final losses by budget."""
        return {each: read_result(self.branch(each)).final_loss for each in self.budgets}

    def branch(self, budget: float) -> Path:
        """The folder of the run that ends at a budget."""
        return self.folder / branch_name(budget)

    @property
    def num_steps(self) -> int:
        """Of all its runs, each counted from where it begins."""
        return sum(recipe.training.num_steps - (start or 0) for _, recipe, start in self.runs)

    def check(self, store: TokenStore) -> None:
        """Finished runs are taken as they are, so they must be those that the recipe means.

        Only a trunk may have another length, because it goes on when larger budgets are added.
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
    """The folder of a branch in that of its unit."""
    return f"branch-{budget:g}"


def run_unit(unit: Unit) -> None:
    """Execute a unit in this process, or go on where it stopped."""
    folder, trunk, console = unit.folder, unit.folder / TRUNK, Console(quiet=True)
    store = prepared_store(unit.runs[0][1].corpus, warn=False)
    starts = {unit._checkpoint(start) for name, _, start in unit.runs if not unit._has(name)}
    missing = [checkpoint_step(path) for path in starts if path and not path.is_dir()]
    for name, recipe, start in unit.runs:
        if name == TRUNK and missing:
            # Of a shorter trunk, or of one whose checkpoints were removed, what can be used.
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
            if ended.diverged_at is not None:  # before the checkpoint, and the branch with it
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
    for path in list_checkpoints(trunk)[1:]:  # from the last one, a longer trunk can go on
        shutil.rmtree(path)
