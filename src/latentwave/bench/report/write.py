"""Writes figures and pages.

Every function makes its folder if need be, and raises `UserError` if that is a file.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from latentwave.bench.comparison.results import Results
from latentwave.bench.data.folders import write_durably
from latentwave.bench.inspection import Inspection
from latentwave.bench.ladder import LadderResults
from latentwave.bench.report.charts import Chart, ChartGrid
from latentwave.bench.report.comparison import comparison_page
from latentwave.bench.report.comparison_charts import comparison_charts
from latentwave.bench.report.figures import write_grid
from latentwave.bench.report.inspection_charts import inspection_charts
from latentwave.bench.report.inspection_page import inspection_page, print_losses
from latentwave.bench.report.ladder import ladder_page
from latentwave.bench.report.ladder_charts import ladder_charts
from latentwave.bench.report.ladder_tables import print_ladder
from latentwave.bench.report.page import render_page
from latentwave.bench.training.progress import PlainConsole
from latentwave.errors import UserError


def write_figures(results: Results, folder: str | Path, *, svg: bool = False) -> list[Path]:
    """Write the figures of `comparison_charts` as PNG files, and as SVG files on request."""
    return _write_grids(comparison_charts(results), make_folder(folder), svg=svg)


def write_report(results: Results, folder: str | Path) -> Path:
    """Write `report.html`, one file that needs neither other files nor the network."""
    path = make_folder(folder) / "report.html"
    write_durably(path, render_page(comparison_page(results)))
    return path


def write_inspection(
    inspection: Inspection, folder: str | Path, *, svg: bool = False, command: str = ""
) -> list[Path]:
    """Write `inspect.html`, which quotes the command, and its figures as files for papers.

    Losses, if there are any, are written as `losses.txt` too.
    """
    path = make_folder(folder) / "inspect.html"
    write_durably(path, render_page(inspection_page(inspection, command)))
    if inspection.overall is not None:
        _write_tables(path.with_name("losses.txt"), lambda to: print_losses(inspection, to))
    return [path, *_write_grids(inspection_charts(inspection).values(), path.parent, svg=svg)]


def write_ladder(results: LadderResults, folder: str | Path) -> list[Path]:
    """Write `ladder.html`, its tables as `ladder.txt`, and its figures as PNG files."""
    path = make_folder(folder) / "ladder.html"
    write_durably(path, render_page(ladder_page(results)))
    table = _write_tables(path.with_suffix(".txt"), lambda to: print_ladder(results, to))
    return [path, table, *_write_grids(ladder_charts(results), path.parent)]


def write_charts(charts: Sequence[Chart], path: Path) -> Path:
    """Draw charts below each other as one PNG file."""
    grid = ChartGrid(name=path.stem, title="", charts=charts)
    return write_grid(grid, make_folder(path.parent))[0]


def make_folder(folder: str | Path) -> Path:
    """Make the folder of a report and its parents, before hours of measuring."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{str(path)!r} is not a folder; name a folder for the report") from None
    return path


def _write_tables(path: Path, print_to: Callable[[Console], None]) -> Path:
    text = io.StringIO()
    print_to(PlainConsole(file=text, width=120))
    write_durably(path, "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
    return path


def _write_grids(grids: Iterable[ChartGrid], folder: Path, *, svg: bool = False) -> list[Path]:
    return [path for grid in grids for path in write_grid(grid, folder, svg=svg)]
