"""`latentwave ladder`: compute multipliers over sizes and budgets."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import ladder, report, training
from latentwave.bench.cli.command import ERR, OUT, Command


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="YAML file of a ladder")
    parser.add_argument("--jobs", type=int, default=1, help="trunks side by side")
    parser.add_argument("--output", type=Path | None, help="folder (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue in an existing folder")
    parser.add_argument("--only", type=list[str] | None, help="sizes to train, such as '[s, m]'")
    parser.add_argument(
        "--limit_minutes", type=float | None, help="start nothing new after this many minutes"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say what it would cost on this machine, and stop"
    )
    parser.add_argument(
        "--time",
        action="store_true",
        help="time the training steps instead, with nothing else running: seconds need it",
    )


def _run(options: Namespace, arguments: list[str]) -> None:
    recipe = ladder.load_ladder(options.recipe)
    store = training.prepared_store(recipe.corpus)
    folder = options.output or Path("runs") / recipe.name
    planned = ladder.Ladder(recipe, store, folder)
    if options.plan:
        report.print_plan(ladder.plan_ladder(planned, store), OUT)
        return
    left = 0
    if options.time:
        ladder.time_steps(planned, store, options.only)
    else:
        left = ladder.run_ladder(
            planned,
            store,
            jobs=options.jobs,
            resume=options.resume,
            sizes=options.only,
            limit_minutes=options.limit_minutes,
            console=ERR,
        )
    results = ladder.assemble(planned, store, command=shlex.join(["latentwave", *arguments]))
    results.write(folder)
    report.print_ladder(results, OUT)
    OUT.print(f"page: {report.write_ladder(results, folder)[0]}", soft_wrap=True)
    if left:
        ERR.print(f"{left} trunks or searches are left: go on with --resume")


COMMAND = Command(
    name="ladder",
    arguments="RECIPE",
    summary="train contestants over sizes and budgets and fit their compute multipliers",
    add_arguments=_add_arguments,
    run=_run,
)
