"""`latentwave compare`: all contestants of a recipe, paired by seed."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import comparison, report, training
from latentwave.bench.cli.command import (
    ERR,
    OVERRIDES,
    Command,
    add_recipe_arguments,
    chosen_recipe,
)
from latentwave.bench.cli.report import show


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_class_arguments(comparison.Workers, "workers")
    parser.add_argument(
        "--time_again", action="store_true", help="measure the durations of training steps again"
    )
    add_recipe_arguments(parser)


def _run(options: Namespace, arguments: list[str]) -> None:
    report.check_extra()
    recipe = chosen_recipe(options)
    folder = options.output or Path("runs") / recipe.name
    training.start_processes(recipe.training.timeout_seconds)
    comparison.compare(
        recipe,
        training.prepared_store(recipe.corpus),
        folder,
        resume=options.resume,
        workers=comparison.Workers(**options.workers.as_dict()),
        time_again=options.time_again,
        command=shlex.join(["latentwave", *arguments]),
        console=ERR,
    )
    if training.is_main():
        show(folder)


COMMAND = Command(
    name="compare",
    arguments="RECIPE",
    summary="train all contestants of a recipe, paired by seed, and measure the speed-ups",
    details=OVERRIDES,
    add_arguments=_add_arguments,
    run=_run,
    reads_recipe=True,
)
