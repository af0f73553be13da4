"""What the page says in words and tables about the runs and their losses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from latentwave.bench.inspection import Inspection, LossTable, Mean, Sample
from latentwave.bench.report.formats import format_count, format_share, format_whole
from latentwave.bench.training import read_record


def write_lead(inspection: Inspection) -> str:
    """The page's first sentence."""
    names = [run.name for run in inspection.runs]
    if inspection.overall is None:
        return f"What is inside {names[0]}"
    if inspection.overall.difference is None:
        return f"{names[0]}: {inspection.overall.losses[0].value:.3f} nats per token."
    gap = inspection.overall.difference.value
    word = "less" if gap < 0 else "more"
    return f"{names[0]} needs {abs(gap):.3f} nats per token {word} than {names[1]}."


def make_tiles(inspection: Inspection) -> list[tuple[str, str, str]]:
    """Label, value and note of the large numbers."""
    run = inspection.runs[0]
    tiles = []
    if inspection.overall is not None:
        for each, mean in zip(inspection.runs, inspection.overall.losses, strict=True):
            tiles.append((f"loss of {each.name}", f"{mean.value:.3f}", _error(mean)))
        if (gap := inspection.overall.difference) is not None:
            tiles.append(("difference", f"{gap.value:+.3f}".replace("-", "−"), _error(gap)))
    if run.kinds:
        share = format_share(run.num_mixer_parameters / max(1, run.num_parameters))
        count = format_count(run.num_mixer_parameters)
        tiles.append(("parameters of the mixers", count, f"{share} of the model"))
    return tiles


def _error(mean: Mean) -> str:
    return "" if math.isnan(mean.error) else f"± {2 * mean.error:.3f} (2 standard errors)"


def loss_rows(table: LossTable) -> list[list[str]]:
    """The cells of a table of losses: name, tokens, loss of each run, difference."""
    rows = []
    for each in table.bins:
        cells = [each.name, format_whole(each.losses[0].count)]
        cells += [format_mean(mean) for mean in each.losses]
        if each.difference is not None:
            cells.append(format_mean(each.difference, sign="+"))
        rows.append(cells)
    return rows


def format_mean(mean: Mean, sign: str = "") -> str:
    """A mean with twice its standard error.

    Example:
        >>> format_mean(Mean(value=1.5, error=0.01, count=9))
        '1.500 ± 0.020'
    """
    if math.isnan(mean.value):
        return "—"
    error = "" if math.isnan(mean.error) else f" ± {2 * mean.error:.3f}"
    return f"{mean.value:{sign}.3f}{error}".replace("-", "−")


def loss_values(table: LossTable | None) -> dict[str, Any] | None:
    """A table of losses as plain values for the page's script."""
    if table is None:
        return None
    return {
        "title": table.title,
        "bins": [
            {
                "name": each.name,
                "place": math.sqrt(each.low * each.high),
                "count": each.losses[0].count,
                "losses": [_plain(mean) for mean in each.losses],
                "difference": None if each.difference is None else _plain(each.difference),
            }
            for each in table.bins
        ],
    }


def _plain(mean: Mean) -> list[float | None]:
    return [None if math.isnan(v) else float(f"{v:.5g}") for v in (mean.value, mean.error)]


def describe_sampling(sample: Sample) -> str:
    """How the tokens of a sample were drawn.

    Example:
        >>> sample = Sample(prompt="a", seed=0, temperature=0.8, top_k=40, texts=["b"])
        >>> describe_sampling(sample)
        'temperature 0.8, the 40 likeliest tokens'
    """
    if sample.temperature == 0:
        return "always the likeliest token"
    among = "all tokens" if sample.top_k is None else f"the {sample.top_k:,} likeliest tokens"
    return f"temperature {sample.temperature:g}, {among}"


def run_facts(folder: Path) -> list[tuple[str, str]]:
    """What the folder of a run says about it; nothing for a model that was only saved."""
    record = read_record(folder)
    if not record:
        return []
    settings, environment = record["training"], record["environment"]
    backbone = record["backbone"]
    mixer = dict(record["mixer"])
    kind = mixer.pop("kind", None) or "none"
    options = (mixer.pop("options", None) or {}) | {k: v for k, v in mixer.items() if v}
    described = ", ".join(f"{key}={value}" for key, value in options.items())
    facts: list[tuple[str, Any]] = [
        ("Contestant", f"{record['contestant']}, seed {record['seed']}"),
        ("Mixer", kind if kind == "none" else f"{kind}, {described}"),
        (
            "Backbone",
            f"{backbone['architecture']}, {backbone['num_layers']} layers, width "
            f"{backbone['hidden_size']}, context {backbone['context_length']}",
        ),
        (
            "Training",
            f"{format_whole(settings['num_steps'])} steps, batch {settings['batch_size']}, "
            f"learning rate {settings['learning_rate']:g}",
        ),
        ("Corpus", record["corpus"]["config"]["name"]),
        ("Corpus SHA-256", record["corpus"]["sha256"]),
        ("CPU", environment.get("cpu")),
        ("Accelerator", environment.get("accelerator") or "none"),
        ("Commit", environment.get("commit")),
        ("Versions", ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items())),
    ]
    return [(label, str(value)) for label, value in facts if value]
