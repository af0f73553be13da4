"""What the report reads of a comparison, as plain dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentwave.bench.comparison.results import MEASURES, METRICS, read_results
from latentwave.bench.training import BASELINE

__all__ = [
    "MEASURES",
    "METRICS",
    "estimate",
    "load_results",
    "loss_unit",
    "others",
    "shown_metrics",
]


def load_results(path: str | Path) -> dict[str, Any]:
    """Read the results of a comparison as plain dictionaries, see `read_results`."""
    values = read_results(path).model_dump()
    values["clock"] = (
        {"method": "runs"}
        if values["clock"] is None
        else values["clock"] | {"method": "alternating steps"}
    )
    for contestant in values["contestants"].values():
        contestant["memory"] = {"peak_training_bytes": contestant.pop("peak_memory_bytes")}
    return values


def estimate(value: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Mean, low and high of an estimate; an interval that is not whole counts as none."""
    mean, low, high = (
        None if value[key] is None else float(value[key]) for key in ("mean", "low", "high")
    )
    whole = low is not None and high is not None
    return mean, low if whole else None, high if whole else None


def others(results: dict[str, Any]) -> list[str]:
    """The contestants beside the baseline, in their order."""
    return [name for name in results["contestants"] if name != BASELINE]


def loss_unit(results: dict[str, Any]) -> str:
    """What losses are means over: "token", or "document" where documents are classified."""
    return str(results.get("loss_unit", "token"))


def shown_metrics(results: dict[str, Any]) -> dict[str, str]:
    """The metrics of a comparison of classifiers, with the words for them."""
    measured = results["contestants"][BASELINE]["metrics"]
    return {name: words for name, words in METRICS.items() if name in measured}
