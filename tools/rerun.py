"""Run comparisons of `results/` again and say whether their final losses agree with the record.

    python -m tools.rerun demo text-small    # make claims CLAIMS="demo text-small"
    python -m tools.rerun demo --seeds '[0]' # what follows overrides the recorded command

The rule: a contestant's new mean final loss must lie in the recorded interval, widened on either
side by the recorded spread, the distance between the lowest and the highest seed. One seed has no
spread: 2 % of its loss stand in for it. Exit codes: 0, 1 where a loss lies outside, 2 where a
comparison could not be run.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentwave.bench.comparison import Results
from latentwave.errors import UserError
from tools.comparisons import read_checked

ROOT = Path(__file__).parents[1]
ONE_SEED_SHARE = 0.02
_CLOSE_NATS = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether one contestant's loss was met again.

    Attributes:
        name: of the contestant.
        low: what the new loss must at least be, in nats.
        high: what it may at most be.
        recorded: the old final loss, mean over seeds.
        measured: the new one; NaN if the contestant was not run or diverged.
    """

    name: str
    low: float
    high: float
    recorded: float
    measured: float

    @property
    def agrees(self) -> bool:
        """Whether the new loss lies between the two."""
        return self.low <= self.measured <= self.high

    def __str__(self) -> str:
        """One line for the console."""
        return (
            f"{'agrees' if self.agrees else 'DIFFERS'}  {self.name}: final loss "
            f"{self.measured:.4f}, recorded {self.recorded:.4f}, "
            f"allowed {self.low:.4f} to {self.high:.4f}"
        )


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run comparisons again, one after the other.

    Args:
        arguments: of the command line.
        root: of the repository.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="tools.rerun", description="Run comparisons of results/ again."
    )
    parser.usage = "%(prog)s [NAME ...] [--finished] [--OPTION VALUE ...]"
    parser.add_argument(
        "--finished", action="store_true", help="run nothing, judge what lies in runs/rerun-NAME"
    )
    typed = list(sys.argv[1:] if arguments is None else arguments)
    # Names come first; values of the overrides behind them are no names.
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), typed))
    options, overrides = parser.parse_known_args(typed[len(names) :])
    found = sorted(path.parent.name for path in (root / "results").glob("*/results.json"))
    agree = True
    try:
        for name in names or found:
            if name not in found:
                raise UserError(f"there is no results/{name}/results.json; choose from {found}")
            recorded = read_checked(root / "results" / name)
            folder = Path("runs") / f"rerun-{name}"
            if not options.finished:
                run(recorded.command, folder, overrides, root)
            measured = read_checked(root / folder)
            verdicts = judge(recorded, measured)
            changed = differences(recorded.recipe, measured.recipe)
            notes = [f"not as recorded: {', '.join(changed)}"] if changed else []
            print(f"{name}:", *verdicts, *notes, sep="\n  ", flush=True)
            agree &= all(verdict.agrees for verdict in verdicts)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if agree else 1


def run(command: str, folder: Path, overrides: Sequence[str], root: Path) -> None:
    """Run a recorded command in another folder; one that was cut off goes on, a finished one stays.

    Args:
        command: as results.json has it.
        folder: for the new run, from the root.
        overrides: options that follow and thus win.
        root: of the repository, where the command was typed.

    Raises:
        UserError: if it is not a comparison's command, or fails.
    """
    program, *rest = shlex.split(command) or [""]
    if program != "latentwave" or rest[:1] != ["compare"]:
        raise UserError(f"{command!r} is not a comparison's command")
    if (root / folder / "results.json").exists():
        print(f"{folder} is finished and is taken as it is; delete it to run again", flush=True)
        return
    again = [*rest, "--output", str(folder), *overrides]
    if "--resume" not in again:
        again.append("--resume")
    print(shlex.join(["latentwave", *again]), flush=True)
    done = subprocess.run([sys.executable, "-m", "latentwave", *again], cwd=root, check=False)
    if done.returncode:
        raise UserError(f"{shlex.join(['latentwave', *again])} ended with {done.returncode}")


def differences(recorded: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """Where two recipes differ, as on the command line: "training.num_steps".

    Args:
        recorded: the recipe on record. What it does not have yet is not held against the other.
        measured: the one that ran.

    Returns:
        Names of values.
    """
    found = []
    for key, value in recorded.items():
        other = measured.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += [f"{key}.{name}" for name in differences(value, other)]
        elif value != other:
            found.append(key)
    return found


def judge(recorded: Results, measured: Results) -> list[Verdict]:
    """Hold a comparison against its record.

    Args:
        recorded: what `results/` has.
        measured: what came out now, of the same seeds or others.

    Returns:
        A verdict for each recorded contestant that did not diverge then.
    """
    verdicts = []
    for name, own in recorded.contestants.items():
        loss, finals = own.final_loss, own.curve[-1].losses
        if loss.mean is None:
            continue
        known = [final for final in finals if final is not None]
        one_seed = len(finals) == 1
        spread = (
            ONE_SEED_SHARE * loss.mean if one_seed else max(_CLOSE_NATS, max(known) - min(known))
        )
        again = measured.contestants.get(name)
        found = None if again is None else again.final_loss.mean
        verdicts.append(
            Verdict(
                name=name,
                low=(loss.mean if loss.low is None else loss.low) - spread,
                high=(loss.mean if loss.high is None else loss.high) + spread,
                recorded=loss.mean,
                measured=math.nan if found is None else found,
            )
        )
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
