"""Results of older versions, brought into the present form."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from latentwave.bench.comparison import estimate


def rename_old(results: Any) -> None:
    """Version 0.1 counted characters alone, and knew no classifiers.

    Args:
        results: whatever a file held; it is changed.
    """
    contestants = results.get("contestants") if isinstance(results, dict) else None
    for contestant in contestants.values() if isinstance(contestants, dict) else ():
        if isinstance(contestant, dict) and "bits_per_character" in contestant:
            contestant.setdefault("bits_per", {"character": contestant.pop("bits_per_character")})
        if isinstance(contestant, dict):
            contestant.setdefault("metrics", {})


def fill_in(results: dict[str, Any]) -> None:
    """What comparisons lack from before they had budgets, tuning, clocks and own baselines.

    All contestants had the recipe's backbone and training then, and the plain backbone as their
    baseline. Memory and decoding were not measured.

    Args:
        results: checked otherwise; they are changed.
    """
    training = results["recipe"].get("training") or {}
    results.setdefault("budget", "tokens")
    results.setdefault("clock", {"method": "runs"})
    results.setdefault("tuning", None)
    results.setdefault("statistics", {"mean_of_ratios": "arithmetic"})
    contestants = results["contestants"]
    for contestant in contestants.values():
        contestant.setdefault("backbone", {})
        contestant.setdefault("baseline", "none")
        contestant.setdefault("learning_rate", training.get("learning_rate"))
        contestant.setdefault("num_steps", training.get("num_steps"))
        contestant.setdefault("memory", None)
        contestant.setdefault("decoding", None)
        if "gain" not in contestant and contestant["baseline"] in contestants:
            contestant["gain"] = _gain(contestants[contestant["baseline"]], contestant)


def _gain(baseline: dict[str, Any], own: dict[str, Any]) -> dict[str, float | None]:
    ends = [c["curve"][-1]["losses"] if c["curve"] else [] for c in (baseline, own)]
    pairs = list(zip(*ends, strict=False))
    if not pairs or any(loss is None for pair in pairs for loss in pair):
        return {"mean": None, "low": None, "high": None}
    found = dataclasses.asdict(estimate([theirs - mine for theirs, mine in pairs]))
    return {key: None if v is None or math.isnan(v) else v for key, v in found.items()}
