"""What a comparison found and what to doubt, in sentences that hold when the mixer loses too."""

from __future__ import annotations

import math
from dataclasses import dataclass

from latentwave.bench.comparison import compare_contestants, highest_coverage, seeds_needed
from latentwave.bench.comparison.results import ContestantResults, Estimate, Results
from latentwave.bench.report.charts import BASELINE_SLOT
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
    MISSING,
    format_gain,
    format_gains,
    format_loss,
    format_share,
    format_speedup,
    join_words,
)
from latentwave.bench.training import BASELINE

_MOST_BUSY_CORES = 0.25
_MOST_NAMED = 5  # of contestants that cannot be told from the best
_MOST_IN_COLOUR, _BEST_IN_COLOUR = 8, 5  # the latter where there are more, beside the baseline


def baseline_first(results: Results) -> dict[str, ContestantResults]:
    """All contestants, the plain baseline before the others."""
    return {name: results.contestants[name] for name in (BASELINE, *results.others)}


def candidates(results: Results) -> list[str]:
    """The contestants that a finding can be about: not those that others are measured against."""
    baselines = {own.baseline for own in results.contestants.values()}
    return [name for name in results.others if name not in baselines]


def best(results: Results) -> str | None:
    """The contestant with the largest speed-up in steps, among those that reach their baseline.

    If none reaches its baseline's final loss with every seed, the one with the lowest final loss.
    """

    def rank(name: str) -> tuple[bool, float, float]:
        own = results.contestants[name]
        speedup = own.speedup.steps.mean
        by_speed = -speedup if own.reached and speedup is not None else math.inf
        return not own.reached, by_speed, _final(own)

    return min(candidates(results), key=rank, default=None)


def slots(results: Results) -> dict[str, int | None]:
    """The place of each contestant among those in colour; None for grey.

    Up to eight contestants are all in colour; of more, the best one, what others are measured
    against, and then those of the lowest final loss.
    """
    chosen = names = results.others
    if len(names) > _MOST_IN_COLOUR:
        subject, able = best(results), candidates(results)

        def order(name: str) -> tuple[bool, bool, float]:
            return name != subject, name in able, _final(results.contestants[name])

        some = sorted(names, key=order)[:_BEST_IN_COLOUR]
        chosen = [name for name in names if name in some]
    colours = {name: slot for slot, name in enumerate(chosen)}
    return {BASELINE: BASELINE_SLOT} | {name: colours.get(name) for name in names}


def _final(own: ContestantResults) -> float:
    return math.inf if own.final_loss.mean is None else own.final_loss.mean


@dataclass(frozen=True)
class Headline:
    """The finding in words."""

    lead: str  # the one sentence
    details: str = ""  # all speed-ups, the final losses and the price


def write_headline(results: Results) -> Headline:
    """Say what the best contestant bought, and at what price.

    The best is the one with the largest speed-up in steps among those that reach their baseline's
    final loss in every seed; if none does, the one with the lowest final loss. Where seeds leave
    open whether it is better than its baseline, the words leave it open too.
    """
    name = best(results)
    if name is None:
        return Headline("Only the baseline was trained: there is no speed-up.")
    subject, baseline = results.contestants[name], results.baseline_of(name)
    details = [
        _all_speedups(subject),
        _final_losses(subject, baseline, results.loss_unit),
        _final_metrics(results, subject, baseline),
        _not_told_apart(results, name),
        _price(subject, baseline),
        seeds_caution(len(results.seeds)),
    ]
    return Headline(_lead(name, results), " ".join(filter(None, details)))


def _who(subject: ContestantResults) -> str:
    """What a contestant is measured against, in words."""
    return "the baseline" if subject.baseline == BASELINE else subject.baseline


def _lead(name: str, results: Results) -> str:
    subject, num_others = results.contestants[name], len(candidates(results))
    whose = f"{_who(subject)}’s final loss"
    target = f"{whose} of {format_loss(results.baseline_of(name).final_loss.mean)} nats"
    steps: Estimate = subject.speedup.steps
    if subject.reached:
        who = name if num_others == 1 else f"{name}, the quickest of {num_others} contestants,"
        return f"{who} {_reached(subject, whose, target)}."
    if len(results.seeds) > 1 and steps.mean is not None:
        return f"{name} does not reach {target} in every seed."
    within = f" within {subject.curve[-1].steps:,} steps"
    if num_others == 1:
        return f"{name} does not reach {target}{within}."
    return f"None of {num_others} contestants reaches {target}{within}; {name} comes closest."


def _reached(subject: ContestantResults, whose: str, target: str) -> str:
    mean, low, high = (getattr(subject.speedup.steps, key) for key in ("mean", "low", "high"))
    if mean is None:
        return f"reaches {target}"
    factor, interval = format_speedup(mean, low, high)
    if abs(mean - 1) < 0.05 if low is None else low <= 1 <= high:
        return f"reaches {whose} in about as many steps ({f'{factor} {interval}'.strip()})"
    gain = subject.gain
    if gain.low is not None and gain.high is not None and gain.low <= 0 <= gain.high:
        return (
            f"cannot be told from its baseline: at the end it is ahead by "
            f"{format_gain(gain.mean)} nats {format_gains(gain.low, gain.high)}"
        )
    if mean > 1:
        return f"reaches {whose} {factor} sooner in steps"
    return f"needs {format_speedup(1 / mean)[0]} as many steps as {_who(subject)} for {whose}"


def _not_told_apart(results: Results, name: str) -> str:
    """The contestants whose final losses, paired by seed, do not differ from the best one's."""
    equals = []
    for other in candidates(results):
        found = compare_contestants(results, other, name)
        known = other != name and found.low is not None and found.high is not None
        if known and found.low <= 0 <= found.high:  # type: ignore[operator]
            equals.append(other)
    if not equals:
        return ""
    if len(equals) > _MOST_NAMED:
        equals[_MOST_NAMED:] = [f"{len(equals) - _MOST_NAMED} more"]
    return f"By their final losses these seeds do not tell it from {join_words(equals)}."


def _all_speedups(subject: ContestantResults) -> str:
    parts = []
    for measure, words in MEASURE_WORDS.items():
        value: Estimate = getattr(subject.speedup, measure)
        if value.mean is not None:
            shown = " ".join(format_speedup(value.mean, value.low, value.high)).strip()
            slower = ", slower than the baseline" if (value.high or value.mean) < 1 else ""
            parts.append(f"{shown} in {words}{slower}")
    where = "" if subject.reached else ", down to its own lowest loss where that is above"
    return f"Speed-up{where}: {join_words(parts)}." if parts else ""


def _final_losses(subject: ContestantResults, baseline: ContestantResults, unit: str) -> str:
    mine, theirs = (format_loss(c.final_loss.mean) for c in (subject, baseline))
    if MISSING in (mine, theirs):
        return "A final loss is missing: a run diverged or was not evaluated."
    gain, low, high = subject.gain.mean, subject.gain.low, subject.gain.high
    interval = f" (gain {format_gain(gain)} {format_gains(low, high)})" if low is not None else ""
    return f"It ends at {mine} nats per {unit}, {_who(subject)} at {theirs}{interval}."


def _final_metrics(
    results: Results, subject: ContestantResults, baseline: ContestantResults
) -> str:
    split = results.metrics_split or "validation"
    parts = []
    for metric, words in results.metrics.items():
        mine, theirs = (format_loss(c.metrics[metric].mean) for c in (subject, baseline))
        parts.append(f"its {split} {words} is {mine}, {_who(subject)}’s {theirs}")
    return f"I{join_words(parts)[1:]}." if parts else ""


def _price(subject: ContestantResults, baseline: ContestantResults) -> str:
    parts = []
    for field, words in (
        ("num_parameters", "parameters"),
        ("flops_per_token", "FLOPs per token"),
        ("tokens_per_second", "tokens per second"),
    ):
        mine, theirs = getattr(subject, field), getattr(baseline, field)
        if mine is None or not theirs:
            continue
        change = mine / theirs - 1
        if mine == theirs:
            parts.append(f"no extra {words}" if words == "parameters" else f"the same {words}")
        else:
            parts.append(f"{format_share(abs(change))} {'more' if change > 0 else 'fewer'} {words}")
    return f"Beside {_who(subject)}: {join_words(parts)}." if parts else ""


def seeds_caution(num_seeds: int) -> str:
    """What so few seeds can show; nothing where there are enough.

    Example:
        >>> seeds_caution(3)
        '3 seeds: these intervals hold the true value at most 75 % of the time, not 95 %; that \
takes 6 seeds.'
        >>> seeds_caution(6)
        ''
    """
    needed = seeds_needed()
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
