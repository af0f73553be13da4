"""`latentwave report`: table, figures and page of a comparison."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import comparison, report
from latentwave.bench.cli.command import OUT, Command


def show(path: Path) -> None:
    """Table, figures and report of a folder with results.json, or of that file."""
    results = comparison.read_results(path)
    folder = path if path.is_dir() else path.parent
    report.print_summary(results, OUT)
    figures = report.write_figures(results, folder)
    page = report.write_report(results, folder)
    OUT.print(f"figures: {', '.join(str(path) for path in figures)}", soft_wrap=True)
    OUT.print(f"report:  {page}", soft_wrap=True)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of a comparison")


def _run(options: Namespace, _: list[str]) -> None:
    show(options.folder)


COMMAND = Command(
    name="report",
    arguments="FOLDER",
    summary="draw a comparison's figures and HTML report again",
    add_arguments=_add_arguments,
    run=_run,
)
