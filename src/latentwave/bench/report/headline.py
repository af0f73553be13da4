"""What a comparison found and what to doubt, in sentences that hold when the mixer loses too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from latentwave.bench.comparison import compare_contestants, highest_coverage, seeds_needed
from latentwave.bench.comparison.results import MEASURES, ContestantResults, Estimate, Results
from latentwave.bench.report.formats import (
    MISSING,
    format_gain,
    format_gains,
    format_loss,
    format_share,
    format_speedup,
    join_words,
)
from latentwave.bench.report.ranking import best, candidates
from latentwave.bench.training import BASELINE

_CONFIDENCE = 0.95
_MOST_BUSY_CORES = 0.25
_MOST_NAMED = 5  # of contestants that cannot be told from the best


@dataclass(frozen=True)
class Headline:
    """The finding in words."""

    subject: str  # the contestant it is about; the baseline where there is no other
    lead: str  # the one sentence
    speedups: str  # in all measures
    details: str  # the final losses and the price


def write_headline(results: Results) -> Headline:
    """Say what the best contestant bought, and at what price.

    The best is the one with the largest speed-up in steps among those that reach their baseline's
    final loss in every seed; if none does, the one with the lowest final loss. Where seeds leave
    open whether it is better than its baseline, the words leave it open too.

    Args:
        results: of a comparison.

    Returns:
        Plain text, with a caution where there were too few seeds.
    """
    name = best(results)
    if name is None:
        return Headline(BASELINE, "Only the baseline was trained: there is no speed-up.", "", "")
    subject = results.contestants[name]
    baseline = results.contestants[subject.baseline]
    whose = _whose(subject.baseline)
    details = [
        _final_losses(subject, baseline, results.loss_unit, whose),
        _final_metrics(results, subject, baseline, whose),
        _not_told_apart(results, name),
        _price(subject, baseline, subject.baseline),
        seeds_caution(len(results.seeds)),
    ]
    return Headline(
        subject=name,
        lead=_lead(name, results),
        speedups=_all_speedups(subject),
        details=" ".join(filter(None, details)),
    )


def _whose(baseline: str) -> str:
    return "the baseline’s" if baseline == BASELINE else f"{baseline}’s"


def _lead(name: str, results: Results) -> str:
    subject, num_others = results.contestants[name], len(candidates(results))
    baseline = results.contestants[subject.baseline]
    whose, target = _whose(subject.baseline), format_loss(baseline.final_loss.mean)
    if not subject.reached:
        num_seeds = len(results.seeds)
        goal = f"{whose} final loss of {target} nats"
        return _lead_not_reached(name, subject, goal, num_others, num_seeds)
    who = name if num_others == 1 else f"{name}, the quickest of {num_others} contestants,"
    steps = subject.speedup.steps
    mean, low, high = steps.mean, steps.low, steps.high
    if mean is None:
        return f"{who} reaches {whose} final loss of {target} nats."
    factor, interval = format_speedup(mean, low, high)
    shown = f"{factor} {interval}".strip()
    undecided = low <= 1 <= high if low is not None and high is not None else abs(mean - 1) < 0.05
    if undecided:
        return f"{who} reaches {whose} final loss in about as many steps ({shown})."
    gain, worst, most = subject.gain.mean, subject.gain.low, subject.gain.high
    if worst is not None and most is not None and worst <= 0 <= most:
        return (
            f"{who} cannot be told from its baseline: at the end it is ahead by "
            f"{format_gain(gain)} nats {format_gains(worst, most)}."
        )
    if mean > 1:
        return f"{who} reaches {whose} final loss {factor} sooner in steps."
    than = "the baseline" if subject.baseline == BASELINE else subject.baseline
    return (
        f"{who} needs {format_speedup(1 / mean)[0]} as many steps as {than} for {whose} final loss."
    )


def _lead_not_reached(
    name: str, subject: ContestantResults, goal: str, num_others: int, num_seeds: int
) -> str:
    if num_seeds > 1 and subject.speedup.steps.mean is not None:
        return f"{name} does not reach {goal} in every seed."
    steps = max((point.steps for point in subject.curve), default=0)
    within = f" within {steps:,} steps" if steps else ""
    if num_others == 1:
        return f"{name} does not reach {goal}{within}."
    return f"None of {num_others} contestants reaches {goal}{within}; {name} comes closest."


def _not_told_apart(results: Results, name: str) -> str:
    """The contestants whose final losses, paired by seed, do not differ from the best one's."""
    if len(results.seeds) == 1:
        return ""
    equals = []
    for other in candidates(results):
        if other != name:
            found = compare_contestants(results, other, name)
            if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
                equals.append(other)
    if not equals:
        return ""
    more = len(equals) - _MOST_NAMED
    named = equals if more <= 0 else [*equals[:_MOST_NAMED], f"{more} more"]
    return f"By their final losses these seeds do not tell it from {join_words(named)}."


def _all_speedups(subject: ContestantResults) -> str:
    parts = []
    for measure, words in zip(MEASURES, ("steps", "FLOPs", "seconds"), strict=True):
        value: Estimate = getattr(subject.speedup, measure)
        if value.mean is not None:
            shown = " ".join(format_speedup(value.mean, value.low, value.high)).strip()
            slower = ", slower than the baseline" if (value.high or value.mean) < 1 else ""
            parts.append(f"{shown} in {words}{slower}")
    if not parts:
        return ""
    where = "" if subject.reached else ", down to its own lowest loss where that is above"
    return f"Speed-up{where}: {join_words(parts)}."


def _final_metrics(
    results: Results, subject: ContestantResults, baseline: ContestantResults, whose: str
) -> str:
    split = results.metrics_split or "validation"
    parts = []
    for metric, words in results.metrics.items():
        mine, theirs = (format_loss(c.metrics[metric].mean) for c in (subject, baseline))
        parts.append(f"its {split} {words} is {mine}, {whose} {theirs}")
    return f"I{join_words(parts)[1:]}." if parts else ""


def _final_losses(
    subject: ContestantResults, baseline: ContestantResults, unit: str, whose: str
) -> str:
    mine, theirs = (format_loss(c.final_loss.mean) for c in (subject, baseline))
    if MISSING in (mine, theirs):
        return "A final loss is missing: a run diverged or was not evaluated."
    who = whose.removesuffix("’s")
    gain, low, high = subject.gain.mean, subject.gain.low, subject.gain.high
    interval = f" (gain {format_gain(gain)} {format_gains(low, high)})" if low is not None else ""
    return f"It ends at {mine} nats per {unit}, {who} at {theirs}{interval}."


def _price(subject: ContestantResults, baseline: ContestantResults, name: str) -> str:
    parts = []
    prices: list[tuple[str, Callable[[ContestantResults], float | None]]] = [
        ("parameters", lambda own: own.num_parameters),
        ("FLOPs per token", lambda own: own.flops_per_token),
        ("tokens per second", lambda own: own.tokens_per_second),
    ]
    for words, price in prices:
        mine, theirs = price(subject), price(baseline)
        if mine is None or not theirs:
            continue
        change = mine / theirs - 1
        if mine == theirs:
            parts.append(f"no extra {words}" if words == "parameters" else f"the same {words}")
        else:
            share = format_share(abs(change))
            parts.append(f"{share} {'more' if change > 0 else 'fewer'} {words}")
    beside = "the baseline" if name == BASELINE else name
    return f"Beside {beside}: {join_words(parts)}." if parts else ""


def seeds_caution(num_seeds: int) -> str:
    """What so few seeds can show; nothing where there are enough.

    Example:
        >>> seeds_caution(3)
        '3 seeds: these intervals hold the true value at most 75 % of the time, not 95 %; that \
takes 6 seeds.'
        >>> seeds_caution(6)
        ''
    """
    needed = seeds_needed(_CONFIDENCE)
    if num_seeds >= needed:
        return ""
    if num_seeds == 1:
        return (
            f"One seed: no interval, so what it shows may be luck; intervals of 95 % take {needed} "
            "seeds."
        )
    share = f"{100 * highest_coverage(num_seeds):.0f} %"
    return (
        f"{num_seeds} seeds: these intervals hold the true value at most {share} of the time, not "
        f"95 %; that takes {needed} seeds."
    )


def cautions(results: Results) -> list[str]:
    """What else makes numbers of this comparison doubtful, a sentence each."""
    found = []
    busy = None if results.clock is None else results.clock.busy_cores
    if busy is not None and busy > _MOST_BUSY_CORES:
        found.append(
            f"The machine was busy while the steps were timed (others kept {busy:.1f} cores busy): "
            "seconds are doubtful. Time them again on an idle one: compare … --resume "
            "--time_again."
        )
    ends = [name for name, own in results.tuning.items() if own.at_end_of_grid]
    if ends:
        found.append(
            f"The learning rate chosen for {join_words(ends)} lies at an end of the grid: a better "
            "one may lie outside."
        )
    searched = min((own.num_steps for own in results.tuning.values()), default=0)
    trained = max(own.num_steps for own in results.contestants.values())
    if results.tuning and searched < trained:
        found.append(
            f"Learning rates were searched in runs of {searched:,} steps, for runs of "
            f"{trained:,}: short runs favour higher rates."
        )
    return found
