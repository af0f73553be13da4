"""Write figures and pages; what draws is imported here, when it is needed.

Every function makes its folder if need be, and raises `UserError` where that is a file, or where
the extra `bench` is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from latentwave.bench.comparison.results import Results
from latentwave.bench.inspection import Inspection
from latentwave.bench.ladder import LadderResults
from latentwave.bench.report.charts import ChartGrid
from latentwave.bench.report.comparison import comparison_page
from latentwave.bench.report.comparison_charts import comparison_charts
from latentwave.bench.report.inspection_charts import inspection_charts
from latentwave.bench.report.inspection_page import inspection_page
from latentwave.bench.report.ladder import ladder_charts, ladder_page, print_ladder
from latentwave.bench.report.media import piano_roll_charts, sound_charts
from latentwave.bench.report.page import Page
from latentwave.bench.training.files import write_durably
from latentwave.errors import UserError

_EXTRA = ("matplotlib", "jinja2", "markupsafe")


def write_figures(results: Results, folder: str | Path, *, svg: bool = False) -> list[Path]:
    """Draw the figures of a comparison.

    `loss-steps.png`, `loss-flops.png`, `loss-seconds.png` and, side by side, `loss.png` show the
    validation loss while training. Thin lines are seeds, thick ones their mean; the dashed line
    is the baseline's final loss, and a dot marks where a contestant reaches it. `pareto.png`
    shows final losses against the FLOPs and the seconds spent, `gap.png` how far contestants
    are ahead of their baselines at equal tokens.

    Args:
        results: of the comparison.
        folder: where to.
        svg: also write each figure as SVG.

    Returns:
        The files written; what was not measured has none.
    """
    return _write_grids(comparison_charts(results), make_folder(folder), svg=svg)


def write_report(results: Results, folder: str | Path) -> Path:
    """Write `report.html`: one file that needs no other and asks the network for nothing.

    Args:
        results: of the comparison.
        folder: where to.

    Returns:
        The file.
    """
    return _write_page(comparison_page(results), make_folder(folder) / "report.html")


def write_inspection(
    inspection: Inspection, folder: str | Path, *, svg: bool = False, command: str = ""
) -> list[Path]:
    """Write `inspect.html`, and the same figures as PNG files for papers.

    Args:
        inspection: what was seen in a run.
        folder: where to.
        svg: also write each figure as SVG.
        command: that was typed; the page repeats it.

    Returns:
        The page and the figures.
    """
    folder = make_folder(folder)
    page = _write_page(inspection_page(inspection, command), folder / "inspect.html")
    return [page, *_write_grids(inspection_charts(inspection).values(), folder, svg=svg)]


def write_ladder(results: LadderResults, folder: str | Path) -> list[Path]:
    """Write `ladder.html`, its figures as PNG files, and its table as `ladder.txt`.

    Args:
        results: of a ladder.
        folder: where to.

    Returns:
        The files, the page first.
    """
    folder = make_folder(folder)
    page = _write_page(ladder_page(results), folder / "ladder.html")
    text = io.StringIO()
    print_ladder(results, Console(file=text, width=120))
    table = folder / "ladder.txt"
    write_durably(table, "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
    return [page, table, *_write_grids(ladder_charts(results), folder)]


def write_sounds(
    sounds: Mapping[str, Float[np.ndarray, " _"]],
    sample_rate: int,
    path: Path,
    *,
    prompt_seconds: float = 0.0,
) -> None:
    """Draw waveform and spectrogram of each sound, all on the same scales.

    Args:
        sounds: see `sound_charts`.
        sample_rate: in hertz.
        path: of the PNG file.
        prompt_seconds: where a line divides what was given from what was generated.
    """
    charts = sound_charts(sounds, sample_rate, prompt_seconds)
    _write_grids([ChartGrid(name=path.stem, title="", charts=charts)], path.parent)


def write_piano_rolls(
    pieces: Mapping[str, Float[np.ndarray, "_ 4"]], path: Path, *, prompt_seconds: float = 0.0
) -> None:
    """Draw notes as lines over time and pitch, all pieces on the same scales.

    Args:
        pieces: see `piano_roll_charts`.
        path: of the PNG file.
        prompt_seconds: where a line divides what was given from what was generated.
    """
    charts = piano_roll_charts(pieces, prompt_seconds)
    _write_grids([ChartGrid(name=path.stem, title="", charts=charts)], path.parent)


def check_extra() -> None:
    """Check that what draws is installed, before hours of measuring."""
    with _drawing_tools():
        for name in _EXTRA:
            importlib.import_module(name)


def make_folder(folder: str | Path) -> Path:
    """Make the folder of a report with all above it, before hours of measuring."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{str(path)!r} is not a folder; name a folder for the report") from None
    return path


def _write_page(page: Page, path: Path) -> Path:
    with _drawing_tools():
        from latentwave.bench.report.html import render_page
    write_durably(path, render_page(page))
    return path


def _write_grids(grids: Iterable[ChartGrid], folder: Path, *, svg: bool = False) -> list[Path]:
    with _drawing_tools():
        from latentwave.bench.report.drawing import write_grid
    return [path for grid in grids for path in write_grid(grid, folder, svg=svg)]


@contextlib.contextmanager
def _drawing_tools() -> Iterator[None]:
    """For imports of what draws: names the extra that has it.

    matplotlib refuses to be imported where MPLBACKEND names a backend that is not installed, as
    that of a notebook's kernel may. Nothing here opens a window, so it is hidden meanwhile.
    """
    first = "matplotlib" not in sys.modules
    backend = os.environ.pop("MPLBACKEND", None) if first else None
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _EXTRA:
            raise
        raise UserError(
            f'figures and pages cannot be made without {missing}: pip install "latentwave[bench]"'
        ) from error
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
            if (loaded := sys.modules.get("matplotlib")) is not None:
                with contextlib.suppress(ValueError):
                    loaded.rcParams["backend"] = backend
