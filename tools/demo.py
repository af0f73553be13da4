"""Prints what `make demo` says at its end: the finding, its limits, and what to try next.

python -m tools.demo runs/demo
"""

import os
import sys
from pathlib import Path

from latentwave.bench.comparison import Results, read_results

SUBJECT = "best"


def finding(results: Results) -> str:
    """Say in one sentence how the default mixer compares with the plain decoder."""
    contestant = results.contestants[SUBJECT]
    loss, plain = contestant.final_loss.mean, results.baseline_of(SUBJECT).final_loss.mean
    if loss is None or plain is None:
        return "A run diverged: there is nothing to compare."
    ahead = "below" if loss < plain else "above"
    seeds = "one seed" if len(results.seeds) == 1 else f"{len(results.seeds)} seeds"
    return (
        f"After {contestant.num_steps} steps on the same batches, {SUBJECT!r} ends "
        f"{abs(plain - loss):.3f} nats per token {ahead} the plain decoder "
        f"({loss:.3f} against {plain:.3f}, {seeds})."
    )


CAUTION = """\
What this is not: a claim about your model. The decoder is small, its settings are the usual ones,
and it was trained for minutes. Against a plain decoder that is trained as well as we can, a mixer
saves far less: docs/results.md begins with that."""


def next_commands(folder: Path) -> list[str]:
    """Commands to try next, ready to be typed in the folder of `make demo`."""
    program = os.path.relpath(Path(sys.executable).with_name("latentwave"))
    run = folder / f"{SUBJECT}-seed0"
    return [
        f"{program} inspect {run} --against {folder / 'none-seed0'}",
        f"{program} generate {run} --prompt 'The function returns '",
        f"{program} compare recipes/demo.yaml --seeds '[0,1,2]' --output {folder} --resume",
    ]


def main(folder: Path) -> None:
    """Print finding, caution and commands for the comparison in a folder."""
    print(f"\n{finding(read_results(folder))}\n{CAUTION}\n")
    print(f"Open {folder / 'report.html'}. Then see what the mixer learned, let it write, and run")
    print("two more seeds for intervals:\n")
    print(*(f"    {command}" for command in next_commands(folder)), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
