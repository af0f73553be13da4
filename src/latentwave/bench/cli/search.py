"""`latentwave search`: the best plain decoder, one group of settings at a time."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import comparison, ladder, training
from latentwave.bench.cli.command import ERR, Command


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="YAML file with a recipe and groups of settings")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--output", type=Path | None, help="folder (default: runs/NAME)")


def _run(options: Namespace, arguments: list[str]) -> None:
    search = ladder.load_search(options.recipe)
    ladder.run_search(
        search,
        training.prepared_store(search.base.corpus),
        options.output or Path("runs") / search.base.name,
        workers=comparison.Workers(jobs=options.jobs),
        console=ERR,
    )


COMMAND = Command(
    name="search",
    arguments="RECIPE",
    summary="search the settings of the plain decoder, the baseline of ladders",
    details="A search that was interrupted goes on.",
    add_arguments=_add_arguments,
    run=_run,
)
