"""Says in sentences what a comparison found and what to doubt, also when the mixer loses."""

import math
from typing import NamedTuple

from latentwave.bench.comparison import compare_contestants, highest_coverage, seeds_needed
from latentwave.bench.comparison.results import ContestantResults, Estimate, Results
from latentwave.bench.report.charts import BASELINE_SLOT
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
    MISSING,
    format_loss,
    gain_cell,
    join_words,
    speedup_cell,
)
from latentwave.bench.training import BASELINE

_MOST_BUSY_CORES = 0.25
_MOST_NAMED = 5  # contestants that cannot be told from the best
_MOST_IN_COLOUR = 8  # contestants beside the baseline; of more, only the best are in colour
_BEST_IN_COLOUR = 5


def baseline_first(results: Results) -> dict[str, ContestantResults]:
    """All contestants, the plain baseline first."""
    return {name: results.contestants[name] for name in (BASELINE, *results.others)}


def candidates(results: Results) -> list[str]:
    """The contestants that a finding can be about: those that no other is measured against."""
    baselines = {contestant.baseline for contestant in results.contestants.values()}
    return [name for name in results.others if name not in baselines]


def best(results: Results) -> str | None:
    """The contestant with the largest speed-up in steps, or else with the lowest final loss.

    The speed-up decides among those that reach their baseline's final loss with every seed.
    """

    def rank(name: str) -> tuple[bool, float, float]:
        contestant = results.contestants[name]
        speedup = contestant.speedup.steps.mean
        by_speed = -speedup if contestant.reached and speedup is not None else math.inf
        return not contestant.reached, by_speed, _final(contestant)

    return min(candidates(results), key=rank, default=None)


def slots(results: Results) -> dict[str, int | None]:
    """The slot of each contestant among the series' colours; None for grey.

    Up to eight contestants are all in colour. Of more, five are: the best one, then baselines, then
    those with the lowest final loss.
    """
    names, subject, able = results.others, best(results), candidates(results)
    ranked = sorted(
        names,
        key=lambda name: (name != subject, name in able, _final(results.contestants[name])),
    )
    if len(names) > _MOST_IN_COLOUR:
        del ranked[_BEST_IN_COLOUR:]
    colours = {name: slot for slot, name in enumerate(name for name in names if name in ranked)}
    return {BASELINE: BASELINE_SLOT} | {name: colours.get(name) for name in names}


def _final(contestant: ContestantResults) -> float:
    return math.inf if contestant.final_loss.mean is None else contestant.final_loss.mean


class Headline(NamedTuple):
    """The finding in words."""

    lead: str  # one sentence
    details: str = ""  # all speed-ups and the final losses


def write_headline(results: Results) -> Headline:
    """Say what the `best` contestant gained, and no more than the seeds can tell."""
    name = best(results)
    if name is None:
        return Headline("Only the baseline was trained: there is no speed-up.")
    details = [
        _all_speedups(results.contestants[name]),
        _final_losses(results, name),
        _final_metrics(results, name),
        _not_told_apart(results, name),
        seeds_caution(len(results.seeds)),
    ]
    return Headline(_lead(name, results), " ".join(filter(None, details)))


def _baseline_name(subject: ContestantResults) -> str:
    return "the baseline" if subject.baseline == BASELINE else subject.baseline


def _lead(name: str, results: Results) -> str:
    subject, num_others = results.contestants[name], len(candidates(results))
    baseline, end = _baseline_name(subject), results.baseline_of(name).final_loss.mean
    mean, alone = subject.speedup.steps.mean, num_others == 1
    if end is None:
        return f"There is no speed-up: {baseline} diverged."
    if subject.final_loss.mean is None:  # the others diverged too, or one of them would be best
        who = name if alone else f"every one of {num_others} contestants"
        return f"There is no speed-up: {who} diverged."
    target = f"{baseline}’s final loss of {format_loss(end)} nats"
    if subject.reached:
        if not mean:
            ends = f"{baseline} ends at {format_loss(end)} nats"
            return f"There is no speed-up: {ends}, no lower than it began."
        who = name if alone else f"{name}, the quickest of {num_others} contestants,"
        return f"{who} {_reached(subject, mean, f'{baseline}’s final loss')}."
    if len(results.seeds) > 1 and mean is not None:
        return f"{name} does not reach {target} in every seed."
    who = f"{name} does not reach" if alone else f"None of {num_others} contestants reaches"
    closest = "" if alone else f"; {name} comes closest"
    return f"{who} {target} within {subject.curve[-1].steps:,} steps{closest}."


def _reached(subject: ContestantResults, mean: float, whose: str) -> str:
    steps, factor = subject.speedup.steps, speedup_cell(subject.speedup.steps)
    if _contains(steps, 1) or (steps.interval is None and abs(mean - 1) < 0.05):
        return f"reaches {whose} in about as many steps ({factor})"
    if _contains(subject.gain, 0):
        gain = gain_cell(subject.gain)
        ahead = f"{gain.value} nats {gain.note}"
        return f"cannot be told from its baseline: at the end it is ahead by {ahead}"
    if mean > 1:
        return f"reaches {whose} {factor.value} sooner in steps"
    slower = speedup_cell(Estimate(mean=1 / mean))
    return f"needs {slower} as many steps as {_baseline_name(subject)} for {whose}"


def _contains(estimate: Estimate, value: float) -> bool:
    """Whether there is an interval and it contains the value."""
    return estimate.interval is not None and estimate.interval[0] <= value <= estimate.interval[1]


def _not_told_apart(results: Results, name: str) -> str:
    """Name the contestants whose final losses, paired by seed, do not differ from this one's."""
    others = [other for other in candidates(results) if other != name]
    equals = [each for each in others if _contains(compare_contestants(results, each, name), 0)]
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
            is_slower = (value.high or value.mean) < 1
            slower = f", slower than {_baseline_name(subject)}" if is_slower else ""
            parts.append(f"{speedup_cell(value)} in {words}{slower}")
    where = "" if subject.reached else ", down to its own lowest loss where that is above"
    return f"Speed-up{where}: {join_words(parts)}." if parts else ""


def _final_losses(results: Results, name: str) -> str:
    subject, baseline = results.contestants[name], results.baseline_of(name)
    mine, theirs = (format_loss(each.final_loss.mean) for each in (subject, baseline))
    if MISSING in (mine, theirs):
        return "A final loss is missing: a run diverged or was not evaluated."
    gain = "" if subject.gain.interval is None else f" (gain {gain_cell(subject.gain)})"
    unit, who = results.loss_unit, _baseline_name(subject)
    return f"It ends at {mine} nats per {unit}, {who} at {theirs}{gain}."


def _final_metrics(results: Results, name: str) -> str:
    subject, baseline = results.contestants[name], results.baseline_of(name)
    split, who = results.metrics_split or "validation", _baseline_name(subject)
    parts: list[str] = []
    for metric, words in results.metrics.items():
        mine, theirs = (format_loss(each.metrics[metric].mean) for each in (subject, baseline))
        parts.append(f"{'its' if parts else 'Its'} {split} {words} is {mine}, {who}’s {theirs}")
    return f"{join_words(parts)}." if parts else ""


def seeds_caution(num_seeds: int) -> str:
    """Say what so few seeds can show, or nothing if there are enough.

    Example:
        >>> seeds_caution(3)
        '3 seeds: these intervals hold the true value at most 75 % of the time, not 95 %; that \
takes 6 seeds.'
        >>> seeds_caution(6)
        ''
    """
    needed, share = seeds_needed(), 100 * highest_coverage(num_seeds)
    if num_seeds >= needed:
        return ""
    if num_seeds == 1:
        luck = "One seed: no interval, so what it shows may be luck"
        return f"{luck}; intervals of 95 % take {needed} seeds."
    return (
        f"{num_seeds} seeds: these intervals hold the true value at most {share:.0f} % of the "
        f"time, not 95 %; that takes {needed} seeds."
    )


def cautions(results: Results) -> list[str]:
    """Other reasons to doubt the numbers of a comparison, one sentence each."""
    found = []
    busy = results.clock.busy_cores if results.clock else None
    if busy is not None and busy > _MOST_BUSY_CORES:
        found.append(
            f"The machine was busy while the steps were timed (others kept {busy:.1f} cores busy): "
            "seconds are doubtful. Time them again on an idle one: compare … --resume "
            "--time_again."
        )
    for name, contestant in results.contestants.items():
        if lost := sum(loss is None for loss in contestant.curve[-1].losses):
            found.append(
                f"{name} diverged with {lost} of {len(results.seeds)} seeds: it has no final loss "
                "here. Lower its learning rate."
            )
    ends = [name for name, search in results.tuning.items() if search.at_end_of_grid]
    if ends:
        found.append(
            f"The learning rate chosen for {join_words(ends)} lies at an end of the grid: a better "
            "one may lie outside. Search further with tuning.widen."
        )
    searches = results.tuning.items()
    steps = [(each.num_steps, results.contestants[name].num_steps) for name, each in searches]
    searched, trained = min(steps, key=lambda each: each[0] / each[1], default=(0, 0))
    if searched < trained:
        found.append(
            f"Learning rates were searched in runs of {searched:,} steps, for runs of "
            f"{trained:,}: short runs favour higher rates."
        )
    return found
