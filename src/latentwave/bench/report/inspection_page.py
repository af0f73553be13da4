"""The page of an inspection."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from latentwave.bench.inspection import Inspection, Kernels, LossTable, Mean, Sample
from latentwave.bench.report.charts import Chart
from latentwave.bench.report.formats import format_count, format_share, format_whole, in_words
from latentwave.bench.report.inspection_charts import (
    MOST_MIXERS,
    distinct,
    inspection_charts,
    kernel_charts,
    response_chart,
)
from latentwave.bench.report.page import Page, Section
from latentwave.bench.report.tables import Cell, Column, Table, make_table
from latentwave.bench.training import read_record

_MOST_ROWS = 64  # of a table of kernels
_NOTES = {
    "kernels": "Each row is one kernel; its colours show what it passes of each frequency. Rows "
    "are sorted by centre frequency, the mean of the frequencies weighted by power, which the "
    "white line follows. Haar is the average over about as many tokens.",
    "change": "How far the kernels of each mixer are from where they started, as a share of their "
    "size (shaded: the middle half of them), and where the centre frequencies of the mixer that "
    "changed most went.",
    "masks": "What each kernel does at each token, rows as above. A time-frequency mask is the "
    "weight that a token-adaptive filterbank gives to a sub-band; sub-band activity is what the "
    "sub-band adds to a channel on average.",
    "paths": "The embeddings of the same text before and after the mixer, in the plane in which "
    "both together are widest (one principal component analysis of both), joined in the order of "
    "the tokens.",
    "positions": "What a prediction costs, by the number of tokens it is made from. Bands are 2 "
    "standard errors over windows; in the difference each window is compared with itself.",
    "classes": "Bars are 2 standard errors over windows.",
}


def inspection_page(inspection: Inspection, command: str = "") -> Page:
    """Figures, the numbers behind them, samples, and what was inspected.

    Args:
        inspection: what was seen.
        command: that was typed.
    """
    grids = inspection_charts(inspection)
    names = [run.name for run in inspection.runs]
    losses = [_losses_table(table, names) for table in inspection.by_class]
    parts = {
        "kernels": [
            _mixer(each, unfolded=i < 2)
            for i, each in enumerate(distinct(inspection.kernels)[:MOST_MIXERS])
        ],
        "change": [_change_table(inspection.kernels)] if "change" in grids else [],
        "masks": [Section(title="The text", code=_joined(inspection.tokens))],
        "positions": [_losses_table(inspection.by_position, names)]
        if inspection.by_position
        else [],
        "classes": losses,
    }
    sections = [
        Section(
            title=grid.title,
            text=_NOTES[name],
            charts=() if name == "kernels" else grid.charts,
            parts=parts.get(name, ()),
        )
        for name, grid in grids.items()
    ]
    if inspection.samples:
        sections.append(_samples(inspection.samples, names))
    inspected = [
        Section(
            title=run.name, facts={"Folder": str(run.folder)} | _facts(run.folder), unfolded=True
        )
        for run in inspection.runs
    ]
    sections.append(Section(title="What was inspected", code=command, parts=inspected))
    measured = ""
    if inspection.num_windows:
        measured = (
            f"Measured on {inspection.num_windows:,} windows of {inspection.window_tokens:,} "
            f"tokens ({inspection.measured_on}). Errors are those of these windows, not of other "
            "seeds."
        )
    return Page(
        title=f"{' against '.join(names)} – inspection",
        lead=_lead(inspection),
        details=measured,
        cautions=inspection.notes,
        tiles=_tiles(inspection),
        sections=sections,
    )


def _lead(inspection: Inspection) -> str:
    names = [run.name for run in inspection.runs]
    if inspection.overall is None:
        return f"What is inside {names[0]}"
    if inspection.overall.difference is None:
        return f"{names[0]}: {inspection.overall.losses[0].value:.3f} nats per token."
    gap = inspection.overall.difference.value
    if math.isnan(gap):
        return f"The losses of {names[0]} and {names[1]} cannot be compared: one is not finite."
    word = "less" if gap < 0 else "more"
    return f"{names[0]} needs {abs(gap):.3f} nats per token {word} than {names[1]}."


def _tiles(inspection: Inspection) -> list[tuple[str, str, str]]:
    run = inspection.runs[0]
    tiles = []
    if inspection.overall is not None:
        means = dict(zip((r.name for r in inspection.runs), inspection.overall.losses, strict=True))
        labelled = {f"loss of {name}": (mean, "") for name, mean in means.items()}
        if (gap := inspection.overall.difference) is not None:
            labelled["difference"] = (gap, "+")
        for label, (mean, sign) in labelled.items():
            value, _, error = _mean(mean, sign).partition(" ± ")
            tiles.append((label, value, f"± {error} (2 standard errors)" if error else ""))
    if run.kinds:
        share = format_share(run.num_mixer_parameters / max(1, run.num_parameters))
        count = format_count(run.num_mixer_parameters)
        tiles.append(("parameters of the mixers", count, f"{share} of the model"))
    return tiles


def _mean(mean: Mean, sign: str = "") -> str:
    """A mean with twice its standard error.

    Example:
        >>> _mean(Mean(value=1.5, error=0.01, count=9))
        '1.500 ± 0.020'
    """
    if math.isnan(mean.value):
        return "—"
    error = "" if math.isnan(mean.error) else f" ± {2 * mean.error:.3f}"
    return f"{mean.value:{sign}.3f}{error}".replace("-", "−")


def _mixer(kernels: Kernels, *, unfolded: bool) -> Section:
    charts: list[Chart] = kernel_charts(kernels)
    if len(kernels.history) > 1:
        title = f"at step {kernels.steps[0]}"
        charts.insert(1, response_chart(kernels, kernels.history[0], title))
    chosen = np.unique(
        np.linspace(0, len(kernels.taps) - 1, min(_MOST_ROWS, len(kernels.taps))).astype(int)
    )
    windows = np.round(1 / kernels.haar[:, 0]).astype(int)
    rows = [
        [
            f"{kernels.rows} {kernels.indices[row]}"
            + (f", shared by {kernels.counts[row]}" if kernels.counts[row] > 1 else ""),
            f"{kernels.centre[row]:.3g}",
            f"{kernels.bandwidth[row]:.3g}",
            str(windows[row]),
            *([] if kernels.weights is None else [f"{kernels.weights[row]:.3g}"]),
        ]
        for row in chosen
    ]
    titles = ["kernel", "centre", "bandwidth", "tokens of Haar", "weight"]
    caption = "After training; frequencies in cycles per token."
    if len(chosen) < len(kernels.taps):
        caption += f" {len(chosen)} of {len(kernels.taps)} kernels, evenly by centre frequency."
    table = make_table(titles[: len(rows[0])], rows, caption)
    return Section(
        title=f"{kernels.label}: {kernels.kind}",
        charts=charts,
        parts=[Section(title="The numbers", table=table)],
        unfolded=unfolded,
    )


def _change_table(kernels: list[Kernels]) -> Section:
    moved = [each for each in kernels if len(each.steps) > 1][:MOST_MIXERS]
    means = [dict(zip(k.steps.tolist(), k.change().mean(axis=1), strict=True)) for k in moved]
    rows = [
        [str(step), *(f"{100 * own[step]:.1f}" if step in own else "—" for own in means)]
        for step in means[0]
    ]
    caption = "Mean distance of the kernels from their start, percent of their size."
    table = make_table(["step", *(each.label for each in moved)], rows, caption)
    return Section(title="The numbers", table=table)


def _losses_table(table: LossTable, names: list[str]) -> Section:
    rows = []
    for each in table.bins:
        row = [each.name, format_whole(each.losses[0].count), *map(_mean, each.losses)]
        if each.difference is not None:
            row.append(_mean(each.difference, "+"))
        rows.append(row)
    titles = [table.title, "tokens", *names, *(["difference"] if len(names) > 1 else [])]
    caption = "Nats per token, ± 2 standard errors over windows."
    shown = make_table(titles, rows, caption)
    return Section(title=f"The numbers: {table.title}", table=shown)


def _samples(samples: list[Sample], names: list[str]) -> Section:
    sample = samples[0]
    how = "always the likeliest token"
    if sample.temperature:
        among = "all tokens" if sample.top_k is None else f"the {sample.top_k:,} likeliest tokens"
        how = f"temperature {sample.temperature:g}, {among}"
    rows = [[Cell(each.prompt), *map(Cell, each.texts)] for each in samples]
    words = f"Generated from the same prompts with the same random numbers ({how})."
    table = Table([Column("prompt"), *map(Column, names)], rows, prose=True)
    return Section(title="Samples", text=words, table=table)


def _facts(folder: Path) -> dict[str, str]:
    """What the folder of a run says about it; nothing for a model that was only saved."""
    record = read_record(folder)
    shown = ("contestant", "seed", "mixers", "backbone", "training", "corpus", "environment")
    return {key.capitalize(): in_words(record[key]) for key in shown if record.get(key)}


def _joined(tokens: list[str]) -> str:
    """A text of tokens: characters stand together, longer tokens apart."""
    apart = any(len(token) > 1 for token in tokens)
    return ("|" if apart else "").join(tokens)
