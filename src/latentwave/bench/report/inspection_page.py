"""The page of an inspection."""

from __future__ import annotations

import math

import numpy as np

from latentwave.bench.inspection import Inspection, Kernels, LossTable, Mean
from latentwave.bench.inspection.samples import TEMPERATURE, TOP_K
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
from latentwave.bench.report.tables import Cell, Table, make_table
from latentwave.bench.training import read_record

_MOST_ROWS = 64  # of a table of kernels
_FACTS = ("contestant", "seed", "mixers", "backbone", "training", "corpus", "environment")
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
    """Figures, the numbers behind them, samples, and what was inspected; repeats the command."""
    names = [run.name for run in inspection.runs]
    kernels = distinct(inspection.kernels)[:MOST_MIXERS]
    # Characters stand together, longer tokens apart.
    apart = "|" if any(len(token) > 1 for token in inspection.tokens) else ""
    by_position = [inspection.by_position] if inspection.by_position else []
    parts = {
        "kernels": [_mixer(each, unfolded=i < 2) for i, each in enumerate(kernels)],
        "masks": [Section(title="The text", code=apart.join(inspection.tokens))],
        "positions": [_losses_table(table, names) for table in by_position],
        "classes": [_losses_table(table, names) for table in inspection.by_class],
    }
    sections = [
        Section(
            title=grid.title,
            text=_NOTES[name],
            charts=() if name == "kernels" else grid.charts,
            parts=parts.get(name, ()),
        )
        for name, grid in inspection_charts(inspection).items()
    ]
    if inspection.samples:
        rows = [[Cell(each.prompt), *map(Cell, each.texts)] for each in inspection.samples]
        words = (
            "Generated from the same prompts with the same random numbers (temperature "
            f"{TEMPERATURE:g}, the {TOP_K} likeliest tokens)."
        )
        table = Table(["prompt", *names], rows, prose=True)
        sections.append(Section(title="Samples", text=words, table=table))
    inspected = []
    for run in inspection.runs:
        record = read_record(run.folder)  # nothing for a model that was only saved
        facts = {key.capitalize(): in_words(record[key]) for key in _FACTS if record.get(key)}
        facts = {"Folder": str(run.folder)} | facts
        inspected.append(Section(title=run.name, facts=facts, unfolded=True))
    sections.append(Section(title="What was inspected", code=command, parts=inspected))
    return Page(
        title=f"{' against '.join(names)} – inspection",
        lead=_lead(inspection),
        details=_details(inspection),
        cautions=inspection.notes,
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


def _details(inspection: Inspection) -> str:
    run, words = inspection.runs[0], []
    if inspection.overall is not None:
        ends = zip(inspection.runs, inspection.overall.losses, strict=True)
        losses = [f"{each.name} {_mean(mean)}" for each, mean in ends]
        if (gap := inspection.overall.difference) is not None:
            losses.append(f"difference {_mean(gap, '+')}")
        words += [
            f"Losses in nats per token: {', '.join(losses)} (± 2 standard errors). Measured on "
            f"{inspection.num_windows:,} windows of {inspection.window_tokens:,} tokens "
            f"({inspection.measured_on}); errors are those of these windows, not of other seeds."
        ]
    if inspection.kernels:
        share = format_share(run.num_mixer_parameters / max(1, run.num_parameters))
        count = format_count(run.num_mixer_parameters)
        words.append(f"The mixers of {run.name} have {count} parameters, {share} of the model.")
    return " ".join(words)


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
    count = len(kernels.taps)
    chosen = np.unique(np.linspace(0, count - 1, min(_MOST_ROWS, count)).astype(int))
    rows = [
        [
            f"{kernels.rows} {kernels.indices[row]}"
            + (f", shared by {kernels.counts[row]}" if kernels.counts[row] > 1 else ""),
            f"{kernels.centre[row]:.3g}",
            f"{kernels.bandwidth[row]:.3g}",
            f"{1 / kernels.haar[row, 0]:.0f}",
            *([] if kernels.weights is None else [f"{kernels.weights[row]:.3g}"]),
        ]
        for row in chosen
    ]
    heads = ["kernel", "centre", "bandwidth", "tokens of Haar", "weight"]
    caption = "After training; frequencies in cycles per token."
    if len(chosen) < count:
        caption += f" {len(chosen)} of {count} kernels, evenly by centre frequency."
    table = make_table(heads[: len(rows[0])], rows, caption)
    return Section(
        title=f"{kernels.label}: {kernels.kind}",
        charts=charts,
        parts=[Section(title="The numbers", table=table)],
        unfolded=unfolded,
    )


def _losses_table(table: LossTable, names: list[str]) -> Section:
    rows = []
    for each in table.bins:
        difference = [] if each.difference is None else [_mean(each.difference, "+")]
        count = format_whole(each.losses[0].count)
        rows.append([each.name, count, *map(_mean, each.losses), *difference])
    heads = [table.title, "tokens", *names, *(["difference"] if len(names) > 1 else [])]
    shown = make_table(heads, rows, "Nats per token, ± 2 standard errors over windows.")
    return Section(title=f"The numbers: {table.title}", table=shown)
