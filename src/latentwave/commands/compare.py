"""`latentwave compare`: all contestants of a recipe, paired by seed."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave import analysis, report, training
from latentwave.commands.command import Command
from latentwave.commands.consoles import ERR
from latentwave.commands.recipes import OVERRIDES, add_recipe_arguments, chosen_recipe
from latentwave.commands.report import show


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_class_arguments(analysis.Workers, "workers")
    parser.add_argument(
        "--time_again", action="store_true", help="measure the durations of training steps again"
    )
    add_recipe_arguments(parser)


def _run(options: Namespace, arguments: list[str]) -> None:
    report.check_extra()
    recipe = chosen_recipe(options)
    folder = options.output or Path("runs") / recipe.name
    training.start_processes(recipe.training.timeout_seconds)
    analysis.compare(
        recipe,
        training.prepared_store(recipe.corpus),
        folder,
        resume=options.resume,
        workers=analysis.Workers(**options.workers.as_dict()),
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
