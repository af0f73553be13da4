"""Builds the page of an inspection."""

import math

import numpy as np
from rich.console import Console

from latentwave.bench.inspection import Inspection, Kernels, LossBin, Mean
from latentwave.bench.report.formats import format_count, format_number, format_share, in_words
from latentwave.bench.report.inspection_charts import (
    MOST_SHOWN,
    distinct,
    inspection_charts,
    kernel_charts,
    response_chart,
)
from latentwave.bench.report.page import Page, Section, Table, make_table, print_table
from latentwave.bench.training import read_record

_MOST_ROWS = 64  # in a table of kernels
_FACTS = ("contestant", "seed", "mixers", "backbone", "training", "corpus", "environment")
_NOTES = {
    "kernels": "Each row is one kernel; its colours show how much of each frequency it passes. "
    "Rows are sorted by centre frequency (white line), the mean frequency weighted by power. Haar "
    "is the average over about as many tokens.",
    "change": "How far the kernels of each mixer are from their start, relative to their size "
    "(shaded: the middle half of them), and the centre frequencies of the mixer that changed most.",
    "masks": "What each kernel does at each token, with rows as above. A time-frequency mask is "
    "the weight that a token-adaptive filterbank gives to a sub-band; sub-band activity is what "
    "the sub-band adds to a channel on average. Where the taps follow the token, rows are lags: "
    "how far back each token looks. Sizes are root mean squares over channels.",
    "paths": "Embeddings of the same text before and after the mixer, joined in token order, in "
    "the first two principal components of both together.",
    "positions": "The loss of a prediction by the number of tokens it is made from. Bands are 2 "
    "standard errors over windows; the difference compares each window with itself.",
    "repeats": "The loss of a prediction by how many tokens, up to the last that it reads, its "
    "context has had before in the same order. What a run gains at long repeats it gains by "
    "copying what followed the earlier place.",
}


def inspection_page(inspection: Inspection, command: str = "") -> Page:
    """Build the page: figures, the numbers behind them, what was inspected and by which command."""
    names = [run.name for run in inspection.runs]
    separator = "|" if any(len(token) > 1 for token in inspection.tokens) else ""
    kernels = enumerate(distinct(inspection.kernels)[:MOST_SHOWN])
    parts = {
        "kernels": [_mixer_section(each, unfolded=i < 2) for i, each in kernels],
        "masks": [Section(title="The text", code=separator.join(inspection.tokens))],
    }
    for name, table in _losses_tables(inspection).items():
        parts[name] = [Section(title="The numbers", table=table)]
    sections = [
        Section(
            title=grid.title,
            text=_NOTES[name],
            charts=() if name == "kernels" else grid.charts,
            parts=parts.get(name, ()),
        )
        for name, grid in inspection_charts(inspection).items()
    ]
    inspected = []
    for run in inspection.runs:
        record = read_record(run.folder)  # empty for a model without a run
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
    names, overall = [run.name for run in inspection.runs], inspection.overall
    if overall is None:
        return f"What is inside {names[0]}"
    if overall.difference is None:
        return f"{names[0]}: {overall.losses[0].value:.3f} nats per token."
    gap = overall.difference.value
    if not abs(gap) > 2 * overall.difference.error or f"{abs(gap):.3f}" == "0.000":
        return f"{names[0]} and {names[1]} cannot be told apart by their losses here."
    word = "less" if gap < 0 else "more"
    return f"{names[0]} needs {abs(gap):.3f} nats per token {word} than {names[1]}."


def _details(inspection: Inspection) -> str:
    run, overall, sentences = inspection.runs[0], inspection.overall, []
    if overall is not None:
        measured = zip(inspection.runs, overall.losses, strict=True)
        losses = [f"{each.name} {_with_error(mean)}" for each, mean in measured]
        if overall.difference is not None:
            losses.append(f"difference {_with_error(overall.difference, '+')}")
        sentences.append(
            f"Losses in nats per token: {', '.join(losses)} (± 2 standard errors). Measured on "
            f"{inspection.num_windows:,} windows of {inspection.window_tokens:,} tokens "
            f"({inspection.measured_on}); the errors are over these windows, not over seeds."
        )
    if inspection.kernels:
        mixers, model = run.num_mixer_parameters, run.model.num_parameters(only_trainable=True)
        share, count = format_share(mixers / max(1, model)), format_count(mixers)
        sentences.append(f"The mixers of {run.name} have {count} parameters, {share} of the model.")
    return " ".join(sentences)


def _with_error(mean: Mean, sign: str = "") -> str:
    """A mean and twice its standard error.

    Example:
        >>> _with_error(Mean(value=1.5, error=0.01, count=9))
        '1.500 ± 0.020'
    """
    error = "" if math.isnan(mean.error) else f" ± {2 * mean.error:.3f}"
    return f"{format_number(mean.value, f'{sign}.3f')}{error}"


def _mixer_section(kernels: Kernels, *, unfolded: bool) -> Section:
    charts = kernel_charts(kernels)
    if len(kernels.history) > 1:
        title = f"at step {kernels.steps[0]}"
        charts.insert(1, response_chart(kernels, kernels.history[0], title))
    count = len(kernels.taps)
    chosen = np.unique(np.linspace(0, count - 1, min(_MOST_ROWS, count)).astype(int))
    rows = []
    for i in chosen:
        shared = f", shared by {kernels.counts[i]}" if kernels.counts[i] > 1 else ""
        row = {
            "kernel": f"{kernels.rows} {kernels.indices[i]}{shared}",
            "centre": f"{kernels.centre[i]:.3g}",
            "bandwidth": f"{kernels.bandwidth[i]:.3g}",
            "tokens of Haar": f"{1 / kernels.haar[i, 0]:.0f}",
        }
        if kernels.weights is not None:
            row["weight"] = f"{kernels.weights[i]:.3g}"
        rows.append(row)
    caption = "After training; frequencies in cycles per token."
    if len(chosen) < count:
        caption += f" {len(chosen)} of {count} kernels, evenly by centre frequency."
    numbers = Section(title="The numbers", table=make_table(rows, caption))
    title = f"{kernels.label}: {kernels.kind}"
    return Section(title=title, charts=charts, parts=[numbers], unfolded=unfolded)


def print_losses(inspection: Inspection, console: Console) -> None:
    """Print what the page says of losses: in words, by position and by repeats."""
    console.print(_details(inspection), soft_wrap=True)
    for name, table in _losses_tables(inspection).items():
        console.print(f"# {name}")
        print_table(console, table)


def _losses_tables(inspection: Inspection) -> dict[str, Table]:
    names = [run.name for run in inspection.runs]

    def table(bins: list[LossBin], column: str) -> Table:
        rows = []
        for each in bins:
            row = {column: each.tokens, "predictions": f"{each.losses[0].count:,}"}
            row |= dict(zip(names, map(_with_error, each.losses), strict=True))
            if each.difference is not None:
                row["difference"] = _with_error(each.difference, "+")
            rows.append(row)
        return make_table(rows, "Nats per token, ± 2 standard errors over windows.")

    return {
        "positions": table(inspection.by_position, "made from tokens"),
        "repeats": table(inspection.by_repeat, "repeated tokens"),
    }
