"""Runs comparisons of `results/` again and says whether their final losses agree with the record.

    python -m tools.rerun best text-small    # make claims CLAIMS="best text-small"
    python -m tools.rerun best --seeds '[0]' # options override the recorded command

The rule: a contestant's new mean final loss must lie in the recorded interval, widened on either
side by the distance between the lowest and the highest seed, or with one seed by 2 % of its loss.
A comparison that is finished in `runs/rerun-NAME` is not run again. Exit codes: 0; 1 if a loss lies
outside; 2 if a comparison could not be run.
"""

import itertools
import math
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentwave.bench.comparison import Results
from latentwave.errors import UserError
from tools.comparisons import read_checked

_ONE_SEED_SHARE = 0.02
_LEAST_SPREAD_NATS = 1e-3


def main(arguments: Sequence[str]) -> int:
    """Run comparisons again from the root of the repository, and return the exit code.

    Args:
        arguments: names of folders in results/ (default: all), then overrides.
    """
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    overrides = arguments[len(names) :]
    agree = True
    try:
        for name in names or sorted(p.parent.name for p in Path("results").glob("*/results.json")):
            recorded = read_checked(Path("results", name))
            folder = Path("runs", f"rerun-{name}")
            run(recorded.command, folder, overrides)
            measured = read_checked(folder)
            changed = list(differences(recorded.recipe, measured.recipe))
            print(f"{name}: not as recorded: {', '.join(changed)}" if changed else f"{name}:")
            for contestant, own in recorded.contestants.items():
                if own.final_loss.mean is None:
                    continue
                low, high = allowed(recorded, contestant)
                again = measured.contestants.get(contestant)
                loss = math.nan if again is None else again.final_loss.mean or math.nan
                agree &= low <= loss <= high
                print(
                    f"  {'agrees' if low <= loss <= high else 'DIFFERS'}  {contestant}: final loss "
                    f"{loss:.4f}, recorded {own.final_loss.mean:.4f}, "
                    f"allowed {low:.4f} to {high:.4f}",
                    flush=True,
                )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if agree else 1


def run(command: str, folder: Path, overrides: Sequence[str]) -> None:
    """Run a recorded command in another folder, or what is left of it there.

    Raises:
        UserError: if it is not a comparison's command, or fails.
    """
    program, *rest = shlex.split(command) or [""]
    if program != "latentwave" or rest[:1] != ["compare"]:
        raise UserError(f"{command!r} is not a comparison's command")
    if (folder / "results.json").exists():
        print(f"{folder} is finished and is taken as it is; delete it to run again", flush=True)
        return
    again = ["latentwave", *rest, "--output", str(folder), *overrides]
    again += [] if "--resume" in again else ["--resume"]
    print(shlex.join(again), flush=True)
    done = subprocess.run([sys.executable, "-m", *again], check=False)
    if done.returncode:
        raise UserError(f"{shlex.join(again)} ended with {done.returncode}")


def allowed(recorded: Results, contestant: str) -> tuple[float, float]:
    """The lowest and the highest mean final loss that agree with a recorded one."""
    own = recorded.contestants[contestant]
    mean = own.final_loss.mean or math.nan
    low, high = own.final_loss.interval or (mean, mean)
    finals = [loss for loss in own.curve[-1].losses if loss is not None]
    spread = max(_LEAST_SPREAD_NATS, max(finals) - min(finals))
    if len(finals) == 1:
        spread = _ONE_SEED_SHARE * mean
    return low - spread, high + spread


def differences(recorded: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[str]:
    """Where two recipes differ, as on the command line: "training.num_steps".

    Keys that the recorded recipe does not have yet are ignored.
    """
    for key, value in recorded.items():
        other = measured.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from (f"{key}.{name}" for name in differences(value, other))
        elif value != other:
            yield key


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
