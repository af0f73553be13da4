"""`latentwave harness`: a trained run in lm-evaluation-harness."""

from __future__ import annotations

import json
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from latentwave.bench import comparison, training
from latentwave.bench.cli.command import OUT, Command
from latentwave.bench.training.files import write_durably
from latentwave.errors import UserError


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a run, or of any saved model")
    parser.add_argument("--tasks", type=list[str], help="names of tasks, e.g. '[a, b]'")
    parser.add_argument(
        "--include_path", type=Path | None, help="folder with task files of your own"
    )
    parser.add_argument("--limit", type=PositiveInt | None, help="documents per task, for a trial")
    parser.add_argument("--batch_size", type=PositiveInt, default=8)
    parser.add_argument("--output", type=Path | None, help="write the figures to this JSON file")


def _run(options: Namespace, _: list[str]) -> None:
    if not options.tasks:
        raise UserError("name the tasks, e.g. --tasks '[prose]'")
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    results = comparison.run_harness(
        training.model_folder(options.run),
        options.tasks,
        include_path=options.include_path,
        limit=options.limit,
        batch_size=options.batch_size,
    )
    from lm_eval.utils import make_table

    OUT.print(make_table(results), soft_wrap=True)
    if options.output is not None:
        figures = {name: results[name] for name in ("results", "versions", "n-samples")}
        write_durably(options.output, json.dumps(figures, indent=2, default=str))
        OUT.print(f"figures: {options.output}", soft_wrap=True)


COMMAND = Command(
    name="harness",
    arguments="RUN",
    summary="tasks of lm-evaluation-harness for a trained run",
    add_arguments=_add_arguments,
    run=_run,
)
