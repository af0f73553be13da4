"""What a comparison found, in sentences that hold when the mixer loses too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from latentwave.report.formats import (
    MISSING,
    format_loss,
    format_share,
    format_speedup,
)
from latentwave.report.results import (
    BASELINE,
    MEASURES,
    estimate,
    loss_unit,
    others,
    shown_metrics,
)


@dataclass(frozen=True)
class Headline:
    """The finding in words.

    Attributes:
        subject: the contestant it is about; the baseline where there is no other.
        lead: the one sentence.
        speedups: in all measures.
        details: the final losses and the price.
    """

    subject: str
    lead: str
    speedups: str
    details: str


def write_headline(results: dict[str, Any]) -> Headline:
    """Say what the best contestant bought, and at what price.

    The best is the one with the largest speed-up in steps among those that reach the baseline's
    final loss in every seed; if none does, the one with the lowest final loss.

    Args:
        results: as `load_results` returns them.

    Returns:
        Plain text, with the words "one seed" where there was one.
    """
    names = others(results)
    if not names:
        return Headline(BASELINE, "Only the baseline was trained: there is no speed-up.", "", "")
    contestants = results["contestants"]
    name = min(names, key=lambda n: _rank(contestants[n]))
    subject, baseline = contestants[name], contestants[BASELINE]
    details = [
        _final_losses(subject, baseline, loss_unit(results)),
        _final_metrics(results, subject, baseline),
        _price(subject, baseline),
    ]
    if len(results["seeds"]) == 1:
        details.append("One seed: no interval.")
    return Headline(
        subject=name,
        lead=_lead(name, results, len(names)),
        speedups=_all_speedups(subject),
        details=" ".join(filter(None, details)),
    )


def _rank(contestant: dict[str, Any]) -> tuple[bool, float, float]:
    speedup = contestant["speedup"]["steps"]["mean"]
    loss = contestant["final_loss"]["mean"]
    reached = contestant["reached"]
    by_speed = -speedup if reached and speedup is not None else float("inf")
    return not reached, by_speed, float("inf") if loss is None else loss


def _lead(name: str, results: dict[str, Any], num_others: int) -> str:
    subject, baseline = results["contestants"][name], results["contestants"][BASELINE]
    target = format_loss(baseline["final_loss"]["mean"])
    if not subject["reached"]:
        return _lead_not_reached(name, subject, target, num_others, len(results["seeds"]))
    who = name if num_others == 1 else f"{name}, the quickest of {num_others} contestants,"
    mean, low, high = estimate(subject["speedup"]["steps"])
    if mean is None:
        return f"{who} reaches the baseline’s final loss of {target} nats."
    factor, interval = format_speedup(mean, low, high)
    shown = f"{factor} {interval}".strip()
    undecided = low <= 1 <= high if low is not None and high is not None else abs(mean - 1) < 0.05
    if undecided:
        return f"{who} reaches the baseline’s final loss in about as many steps ({shown})."
    if mean > 1:
        return f"{who} reaches the baseline’s final loss {factor} sooner in steps."
    return (
        f"{who} needs {format_speedup(1 / mean)[0]} as many steps as the baseline for the "
        "baseline’s final loss."
    )


def _lead_not_reached(
    name: str, subject: dict[str, Any], target: str, num_others: int, num_seeds: int
) -> str:
    if num_seeds > 1 and subject["speedup"]["steps"]["mean"] is not None:
        return f"{name} does not reach the baseline’s final loss of {target} nats in every seed."
    steps = max((point["steps"] or 0 for point in subject["curve"]), default=0)
    within = f" within {steps:,} steps" if steps else ""
    if num_others == 1:
        return f"{name} does not reach the baseline’s final loss of {target} nats{within}."
    return (
        f"None of {num_others} contestants reaches the baseline’s final loss of {target} "
        f"nats{within}; {name} comes closest."
    )


def _all_speedups(subject: dict[str, Any]) -> str:
    parts = []
    for measure, words in zip(MEASURES, ("steps", "FLOPs", "seconds"), strict=True):
        mean, low, high = estimate(subject["speedup"][measure])
        if mean is not None:
            shown = " ".join(format_speedup(mean, low, high)).strip()
            slower = ", slower than the baseline" if (high or mean) < 1 else ""
            parts.append(f"{shown} in {words}{slower}")
    if not parts:
        return ""
    where = "" if subject["reached"] else ", down to its own lowest loss where that is above"
    return f"Speed-up{where}: {_join(parts)}."


def _final_metrics(
    results: dict[str, Any], subject: dict[str, Any], baseline: dict[str, Any]
) -> str:
    split = str(results.get("metrics_split") or "validation")
    parts = []
    for metric, words in shown_metrics(results).items():
        mine, theirs = (format_loss(c["metrics"][metric]["mean"]) for c in (subject, baseline))
        parts.append(f"its {split} {words} is {mine}, the baseline’s {theirs}")
    return f"I{_join(parts)[1:]}." if parts else ""


def _final_losses(subject: dict[str, Any], baseline: dict[str, Any], unit: str) -> str:
    mine, theirs = (format_loss(c["final_loss"]["mean"]) for c in (subject, baseline))
    if MISSING in (mine, theirs):
        return "A final loss is missing: a run diverged or was not evaluated."
    return f"It ends at {mine} nats per {unit}, the baseline at {theirs}."


def _price(subject: dict[str, Any], baseline: dict[str, Any]) -> str:
    parts = []
    for key, words in (
        ("num_parameters", "parameters"),
        ("flops_per_token", "FLOPs per token"),
        ("tokens_per_second", "tokens per second"),
    ):
        mine, theirs = subject[key], baseline[key]
        if mine is None or not theirs:
            continue
        change = mine / theirs - 1
        if mine == theirs:
            parts.append(f"no extra {words}" if key == "num_parameters" else f"the same {words}")
        else:
            share = format_share(abs(change))
            parts.append(f"{share} {'more' if change > 0 else 'fewer'} {words}")
    return f"Beside the baseline: {_join(parts)}." if parts else ""


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
