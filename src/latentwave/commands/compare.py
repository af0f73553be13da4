"""`latentwave compare`: all contestants of a recipe, paired by seed."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import Namespace

from latentwave import analysis, data
from latentwave.commands.command import Command
from latentwave.commands.consoles import ERR
from latentwave.commands.recipes import OVERRIDES, add_recipe_arguments, chosen_recipe
from latentwave.commands.report import show


def _run(options: Namespace, arguments: list[str]) -> None:
    recipe = chosen_recipe(options)
    folder = options.output or Path("runs") / recipe.name
    analysis.compare(
        recipe,
        data.prepare(recipe.corpus),
        folder,
        resume=options.resume,
        command=shlex.join(["latentwave", *arguments]),
        console=ERR,
    )
    show(folder)


COMMAND = Command(
    name="compare",
    arguments="RECIPE",
    summary="train all contestants of a recipe, paired by seed, and measure the speed-ups",
    details=OVERRIDES,
    add_arguments=add_recipe_arguments,
    run=_run,
    reads_recipe=True,
)
