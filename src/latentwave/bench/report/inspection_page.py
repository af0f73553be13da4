"""The page of an inspection."""

from __future__ import annotations

import math

import numpy as np

from latentwave.bench.inspection import Inspection, Kernels, LossBin, Mean
from latentwave.bench.report.formats import format_count, format_share, in_words
from latentwave.bench.report.inspection_charts import (
    MOST_SHOWN,
    distinct,
    inspection_charts,
    kernel_charts,
    response_chart,
)
from latentwave.bench.report.page import Page, Section, make_table
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
    "sub-band adds to a channel on average. Where the taps follow the token, rows are lags: how "
    "far back each token looks. Sizes are root mean squares over channels.",
    "paths": "The embeddings of the same text before and after the mixer, in the plane in which "
    "both together are widest (one principal component analysis of both), joined in the order of "
    "the tokens.",
    "positions": "What a prediction costs, by the number of tokens it is made from. Bands are 2 "
    "standard errors over windows; in the difference each window is compared with itself.",
}


def inspection_page(inspection: Inspection, command: str = "") -> Page:
    """Figures, the numbers behind them, and what was inspected; repeats the command."""
    names = [run.name for run in inspection.runs]
    # Characters stand together, longer tokens apart.
    apart = "|" if any(len(token) > 1 for token in inspection.tokens) else ""
    parts = {
        "kernels": [
            _mixer(each, unfolded=i < 2)
            for i, each in enumerate(distinct(inspection.kernels)[:MOST_SHOWN])
        ],
        "masks": [Section(title="The text", code=apart.join(inspection.tokens))],
        "positions": [_losses_table(inspection.by_position, names)],
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
    if not abs(gap) > 2 * inspection.overall.difference.error or f"{abs(gap):.3f}" == "0.000":
        return f"{names[0]} and {names[1]} cannot be told apart by their losses here."
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
        own, whole = run.num_mixer_parameters, run.model.num_parameters(only_trainable=True)
        share, count = format_share(own / max(1, whole)), format_count(own)
        words.append(f"The mixers of {run.name} have {count} parameters, {share} of the model.")
    return " ".join(words)


def _mean(mean: Mean, sign: str = "") -> str:
    """A mean with twice its standard error.

    Example:
        >>> _mean(Mean(value=1.5, error=0.01, count=9))
        '1.500 ± 0.020'
    """
    error = "" if math.isnan(mean.error) else f" ± {2 * mean.error:.3f}"
    return f"{mean.value:{sign}.3f}{error}".replace("-", "−")


def _mixer(kernels: Kernels, *, unfolded: bool) -> Section:
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
    table = make_table(rows, caption)
    return Section(
        title=f"{kernels.label}: {kernels.kind}",
        charts=charts,
        parts=[Section(title="The numbers", table=table)],
        unfolded=unfolded,
    )


def _losses_table(bins: list[LossBin], names: list[str]) -> Section:
    rows = []
    for each in bins:
        place = f"{each.low}" if each.low == each.high else f"{each.low}–{each.high}"
        row = {"made from tokens": place, "predictions": f"{each.losses[0].count:,}"}
        row |= dict(zip(names, map(_mean, each.losses), strict=True))
        if each.difference is not None:
            row["difference"] = _mean(each.difference, "+")
        rows.append(row)
    caption = "Nats per token, ± 2 standard errors over windows."
    return Section(title="The numbers", table=make_table(rows, caption))
