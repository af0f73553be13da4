"""Runs a ladder: searches for learning rates, trunks, and a branch at every budget."""

import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from latentwave.bench.comparison.workers import Workers, report_failure
from latentwave.bench.data import TokenStore
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.units import run_unit
from latentwave.bench.training.progress import ERR
from latentwave.errors import UserError


def run_ladder(
    ladder: Ladder,
    store: TokenStore,
    *,
    workers: Workers | None = None,
    resume: bool = False,
    only: Sequence[str] | None = None,
    limit_minutes: float | None = None,
    console: Console | None = None,
) -> int:
    """Train what is not finished yet; every finished run is on disk at once.

    `workers` says where. In this process, the default, a failure ends the ladder; where runs have
    processes of their own, the others go on. `only` names sizes and settings. After
    `limit_minutes` no unit is started any more; those that run are finished.

    Returns:
        How many units (a trunk with its branches, for a search or a seed) are left to do.

    Raises:
        UserError: for unknown names or none, a negative limit, an existing folder (without
            resume), a run folder that holds another recipe's run, or a worker that died.
    """
    console = console or ERR
    if limit_minutes is not None and not limit_minutes >= 0:  # nan, which would never end, too
        raise UserError(f"limit_minutes must be >= 0, got {limit_minutes}")
    folder = ladder.folder
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )
    cells = ladder.cells(only)
    for unit in itertools.chain(*ladder.searches.values()):
        unit.check(store)
    deadline = math.inf if limit_minutes is None else time.monotonic() + 60 * limit_minutes
    searches = dict.fromkeys(ladder.searched(cell) for cell in cells)
    waiting = ladder.unfinished_searches(searches)
    unsearched = list(cells)
    failed: dict[Path, BaseException] = {}

    def add_ready() -> None:
        """Widen searches that have ended, or queue the trunks that waited for them.

        First all searches, then the first seed of every cell, and so on, the most expensive first:
        a ladder that is stopped has about as many seeds of every contestant.
        """
        waiting.extend(unit for cell in searches for unit in ladder.widen(cell))
        ready = [cell for cell in unsearched if ladder.is_searched(cell)]
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
            if error is not None:  # the others can go on
                report_failure(unit.folder, error, console)
                failed[unit.folder] = error
                continue
            add_ready()
            losses = " ".join(f"{loss:.4f}" for loss in unit.losses().values())
            where = "/".join(unit.folder.parts[-5:])
            total = count + ladder.num_left(cells)
            console.print(f"[{count}/{total}] {where}: {losses}", soft_wrap=True, markup=False)
    if failed:
        folder, first = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of the ladder's trunks failed, {folder} with "
            f"{type(first).__name__}: {first}; the others are kept"
        ) from first
    return ladder.num_left(cells)
