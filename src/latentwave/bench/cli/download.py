"""`latentwave download`: published data sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.progress import DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from latentwave.bench.cli.command import ERR, OUT, Command
from latentwave.bench.data.download import CATALOGUE, fetch


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name", type=str | None, nargs="?", help=f"{', '.join(CATALOGUE)}; without it: a list"
    )
    parser.add_argument(
        "--mirror", type=str | None, help="address of a folder that holds the files; tried first"
    )
    parser.add_argument(
        "--offline", action="store_true", help="touch no network; say which file to put where"
    )


def _run(options: Namespace, _: list[str]) -> None:
    if options.name is None:
        for download in CATALOGUE.values():
            OUT.print(f"{download.name:14} {download.about}; {download.licence}", soft_wrap=True)
        return
    path = fetch_with_progress(options.name, mirror=options.mirror, offline=options.offline)
    OUT.print(f"{options.name}: {path}", soft_wrap=True)
    if CATALOGUE[options.name].note:
        OUT.print(f"note: {CATALOGUE[options.name].note}", soft_wrap=True)


def fetch_with_progress(name: str, *, mirror: str | None = None, offline: bool = False) -> Path:
    """`fetch`, with bars on a terminal."""
    with _bars() as progress:
        tasks: dict[str, TaskID] = {}

        def show(file: str, have: int, size: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=size)
            progress.update(tasks[file], completed=have, total=size)

        return fetch(name, mirror=mirror, offline=offline, on_bytes=show)


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal) as progress:
        yield progress


COMMAND = Command(
    name="download",
    arguments="NAME",
    summary="fetch a published data set, check it, and unpack it",
    add_arguments=_add_arguments,
    run=_run,
)
