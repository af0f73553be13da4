"""All figures of an inspection as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from latentwave.bench.inspection import Inspection
from latentwave.bench.report.axes import short_name
from latentwave.bench.report.canvas import save_with_page
from latentwave.bench.report.inspection.kernel_figures import draw_change, draw_kernels
from latentwave.bench.report.inspection.loss_figures import draw_classes, draw_positions
from latentwave.bench.report.inspection.token_figures import draw_activity, draw_paths


def save_inspection_figures(
    inspection: Inspection, folder: Path, *, svg: bool = False
) -> list[Path]:
    """Write what there is of `kernels`, `change`, `masks`, `paths`, `positions` and `classes`.

    Args:
        inspection: what was seen.
        folder: an existing one.
        svg: also write each as SVG.

    Returns:
        The files.
    """
    names = [short_name(run.name) for run in inspection.runs]
    figures: dict[str, Figure | None] = {}
    if inspection.kernels:
        figures["kernels"] = draw_kernels(inspection.kernels)
        figures["change"] = draw_change(inspection.kernels)
        figures["masks"] = draw_activity(inspection)
        figures["paths"] = draw_paths(inspection)
    if inspection.by_position is not None:
        figures["positions"] = draw_positions(inspection.by_position, names)
    if inspection.by_class:
        figures["classes"] = draw_classes(inspection.by_class, names)
    return [
        path
        for stem, figure in figures.items()
        if figure is not None
        for path in save_with_page(figure, folder, stem, dpi=160, svg=svg)
    ]
