"""Units of a ladder: runs that one process executes one after the other."""

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
from latentwave.bench.training.files import CHECKPOINTS, MODEL, RESULT
from latentwave.bench.training.result import open_folder, write_result

TRUNK = "trunk"
Run = tuple[str, Recipe, int | None]
"""The name of its folder, its recipe, and the step of the trunk where it begins, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """Runs that one process executes one after the other: a search, or a trunk and its branches."""

    folder: Path
    contestant: str
    seed: int  # of weights and batches
    runs: list[Run]  # in order
    cost: float  # tokens times parameters, to start the longest first

    def is_finished(self) -> bool:
        """Whether all results are there; a trunk's is of no use once its branches have ended."""
        return all(self._has(name) for name, *_ in self.runs if name != TRUNK)

    def losses(self) -> list[float]:
        """Final losses of its runs but the trunk."""
        return [
            read_result(self.folder / name).final_loss for name, *_ in self.runs if name != TRUNK
        ]

    def check(self, store: TokenStore) -> None:
        """Finished runs are taken as they are, so they must be those that the recipe means."""
        for name, recipe, start in self.runs:
            trunk = self._checkpoint(start)
            record = describe_run(recipe, self.contestant, self.seed, store, trunk)
            check_folder(self.folder / name, record)

    def _has(self, name: str) -> bool:
        return (self.folder / name / RESULT).is_file()

    def _checkpoint(self, step: int | None) -> Path | None:
        return None if step is None else self.folder / TRUNK / CHECKPOINTS / f"checkpoint-{step}"


def run_unit(unit: Unit) -> None:
    """Execute a unit in this process, or go on where it stopped."""
    folder, console = unit.folder, Console(quiet=True)
    store = prepared_store(unit.runs[0][1].corpus)
    starts = [unit._checkpoint(start) for name, _, start in unit.runs if not unit._has(name)]
    if not all(start is None or start.is_dir() for start in starts):
        # A branch was removed after its trunk's checkpoints were: the same trunk is made again.
        (folder / TRUNK / RESULT).unlink(missing_ok=True)
    for name, recipe, start in unit.runs:
        checkpoint = unit._checkpoint(start)
        if unit._has(name):
            continue
        if checkpoint is not None and not checkpoint.is_dir():
            trunk = read_result(folder / TRUNK)
            if trunk.diverged_at is not None:  # before the checkpoint, and the branch with it
                record = describe_run(recipe, unit.contestant, unit.seed, store, checkpoint)
                open_folder(folder / name, record, resume=True)
                write_result(folder / name, trunk)
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
    shutil.rmtree(folder / TRUNK / CHECKPOINTS, ignore_errors=True)
