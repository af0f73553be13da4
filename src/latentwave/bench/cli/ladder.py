"""`latentwave ladder`: compute multipliers over sizes and budgets."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import ladder, training
from latentwave.bench.cli.command import Command
from latentwave.bench.cli.consoles import ERR


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="YAML file of a ladder")
    parser.add_argument("--jobs", type=int, default=1, help="trunks side by side")
    parser.add_argument("--output", type=Path | None, help="folder (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that exists")
    parser.add_argument("--only", type=list[str] | None, help="sizes to train, such as '[s, m]'")
    parser.add_argument(
        "--limit_minutes", type=float | None, help="start nothing more after so long"
    )


def _run(options: Namespace, arguments: list[str]) -> None:
    recipe = ladder.load_ladder(options.recipe)
    left = ladder.run_ladder(
        recipe,
        training.prepared_store(recipe.corpus),
        options.output or Path("runs") / recipe.name,
        jobs=options.jobs,
        resume=options.resume,
        sizes=options.only,
        limit_minutes=options.limit_minutes,
        console=ERR,
    )
    if left:
        ERR.print(f"{left} trunks or searches are left: go on with --resume")


COMMAND = Command(
    name="ladder",
    arguments="RECIPE",
    summary="train contestants over sizes and budgets and fit their compute multipliers",
    add_arguments=_add_arguments,
    run=_run,
)
