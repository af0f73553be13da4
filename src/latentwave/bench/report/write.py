"""Write figures and page; here the optional packages are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console

from latentwave.bench.inspection import Inspection
from latentwave.bench.ladder import LadderResults
from latentwave.bench.report.ladder_table import print_ladder
from latentwave.bench.training.files import write_durably
from latentwave.errors import UserError

_EXTRA = ("matplotlib", "jinja2", "markupsafe", "plotly")


def write_figures(results: dict[str, Any], folder: str | Path, *, svg: bool = False) -> list[Path]:
    """Draw the figures of a comparison.

    `loss-steps.png`, `loss-flops.png`, `loss-seconds.png` and, side by side, `loss.png` show the
    validation loss while training. Thin lines are seeds, thick ones their mean; the dashed line
    is the baseline's final loss, and a dot marks where a contestant reaches it. `pareto.png`
    shows final losses against the FLOPs and the seconds spent, `gap.png` how far contestants
    are ahead of their baselines at equal tokens.

    Args:
        results: as `load_results` returns them.
        folder: made if need be.
        svg: also write each figure as SVG.

    Returns:
        The files written; what was not measured has none.

    Raises:
        UserError: if the extra `bench` is not installed, or the folder is a file.
    """
    with _needs_extra("figures"):
        from latentwave.bench.report.figures import save_figures
    return save_figures(results, make_folder(folder), svg=svg)


def write_report(results: dict[str, Any], folder: str | Path) -> Path:
    """Write `report.html`: one file that needs no other and asks the network for nothing.

    Args:
        results: as `load_results` returns them.
        folder: made if need be.

    Returns:
        The file.

    Raises:
        UserError: if the extra `bench` is not installed, or the folder is a file.
    """
    with _needs_extra("the report"):
        from latentwave.bench.report.page import render_page
    path = make_folder(folder) / "report.html"
    write_durably(path, render_page(results))
    return path


def write_sounds(
    sounds: Mapping[str, Float[np.ndarray, " _"]],
    sample_rate: int,
    path: Path,
    *,
    prompt_seconds: float = 0.0,
) -> None:
    """Draw waveform and spectrogram of each sound, all on the same scales.

    Args:
        sounds: samples in [−1, 1] by name.
        sample_rate: in hertz.
        path: of the PNG file.
        prompt_seconds: where a line divides what was given from what was generated.

    Raises:
        UserError: if the extra `bench` is not installed.
    """
    with _needs_extra("pictures of sound"):
        from latentwave.bench.report.media import save_sounds
    save_sounds(sounds, sample_rate, path, prompt_seconds=prompt_seconds)


def write_piano_rolls(
    pieces: Mapping[str, Float[np.ndarray, "_ 4"]], path: Path, *, prompt_seconds: float = 0.0
) -> None:
    """Draw notes as lines over time and pitch, all pieces on the same scales.

    Args:
        pieces: onset and end in seconds, pitch and velocity of each note, by name.
        path: of the PNG file.
        prompt_seconds: where a line divides what was given from what was generated.

    Raises:
        UserError: if the extra `bench` is not installed.
    """
    with _needs_extra("piano rolls"):
        from latentwave.bench.report.media import save_piano_rolls
    save_piano_rolls(pieces, path, prompt_seconds=prompt_seconds)


def write_inspection(
    inspection: Inspection, folder: str | Path, *, svg: bool = False, command: str = ""
) -> list[Path]:
    """Write `inspect.html` and the same figures as PNG files for papers.

    Args:
        inspection: what was seen in a run.
        folder: made if need be.
        svg: also write each figure as SVG.
        command: that was typed; the page repeats it.

    Returns:
        The page and the figures.

    Raises:
        UserError: if the extra `bench` is not installed, or the folder is a file.
    """
    with _needs_extra("figures and pages"):
        from latentwave.bench.report.inspection.figures import save_inspection_figures
        from latentwave.bench.report.inspection.page import render_inspection
    folder = make_folder(folder)
    path = folder / "inspect.html"
    write_durably(path, render_inspection(inspection, command))
    return [path, *save_inspection_figures(inspection, folder, svg=svg)]


def write_ladder(results: LadderResults, folder: str | Path) -> list[Path]:
    """Write `ladder.html`, its figures as PNG files, and its table as `ladder.txt`.

    Args:
        results: of a ladder.
        folder: made if need be.

    Returns:
        The files, the page first.

    Raises:
        UserError: if the extra `report` is not installed, or the folder is a file.
    """
    with _needs_extra("the page of a ladder"):
        from latentwave.bench.report.ladder import render_ladder, save_ladder_figures
    path = make_folder(folder) / "ladder.html"
    write_durably(path, render_ladder(results))
    text = io.StringIO()
    print_ladder(results, Console(file=text, width=120))
    table = path.with_suffix(".txt")
    write_durably(table, "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
    return [path, table, *save_ladder_figures(results, path.parent)]


def check_extra() -> None:
    """See that what draws is installed, before hours of measuring.

    Raises:
        UserError: if the extra `bench` is not.
    """
    with _needs_extra("figures and pages"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import plotly  # noqa: F401


@contextmanager
def _needs_extra(what: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _EXTRA:
            raise
        raise UserError(
            f'{what} cannot be made without {missing}: pip install "latentwave[bench]"'
        ) from error


def make_folder(folder: str | Path) -> Path:
    """Make the folder of a report if need be, before hours of measuring.

    Args:
        folder: with all that are above it.

    Returns:
        Its path.

    Raises:
        UserError: if it is a file, or below one.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{str(path)!r} is not a folder; name a folder for the report") from None
    return path
