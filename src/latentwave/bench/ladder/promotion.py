"""Which contestants have earned to be a default: the rule, and what each of them misses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from latentwave.bench.ladder.multipliers import Setting, pair_spread
from latentwave.bench.ladder.results import Check, Interval, Multiplier, Promotion
from latentwave.bench.training import BASELINE

AT_BUDGET = 20.0
"""Tokens per parameter at which controls must be beaten, beside the longest budget."""
_Z = 1.96  # of a normal distribution, for an interval of 95 %


def promotions_of(
    name: str, setting: Setting, multipliers: Sequence[Multiplier], controls: Sequence[str]
) -> list[Promotion]:
    """Hold every contestant of a setting that is no control against the rule.

    A default saves compute at every size and budget, ends below every control at 20 tokens per
    parameter and at the longest budget, and what it saves does not fall from the smallest size to
    the largest by more than its interval. Compute is seconds where steps were timed, else tokens,
    which promote nothing.

    Args:
        name: of the setting.
        setting: its runs.
        multipliers: of all contestants.
        controls: their names.
    """
    found = []
    for contestant in setting.losses:
        own = [m for m in multipliers if (m.setting, m.contestant) == (name, contestant)]
        if contestant == BASELINE or contestant in controls or not own:
            continue
        timed = all(m.seconds is not None for m in own)
        others = [each for each in controls if each in setting.losses]
        saves = _saves(own, timed)
        controlled = _beats(setting, contestant, others)
        lasts = _lasts(setting, own, timed)
        found.append(
            Promotion(
                setting=name,
                contestant=contestant,
                measure="seconds" if timed else "tokens",
                saves=saves,
                beats_controls=controlled,
                lasts=lasts,
                promoted=timed
                and all(c is not None and c.passed for c in (saves, controlled, lasts)),
            )
        )
    return found


def describe_promotion(promotion: Promotion) -> str:
    """One line: the verdict, and the weakest point of each part of the rule.

    Example:
        >>> part = Check(passed=True, where="1M at 20", value=Interval(mean=1.2, low=1.1, high=1.3))
        >>> describe_promotion(
        ...     Promotion(
        ...         setting="strong",
        ...         contestant="best",
        ...         measure="tokens",
        ...         saves=part,
        ...         beats_controls=None,
        ...         lasts=None,
        ...         promoted=False,
        ...     )
        ... )
        'strong best: not promoted; saves tokens: yes (least 1.20 [1.10, 1.30], 1M at 20); beats \
controls: not tested; keeps it with size: not tested; steps were not timed'
    """
    parts = [
        ("saves " + promotion.measure, promotion.saves, "least {:.2f}", "[{:.2f}, {:.2f}]"),
        ("beats controls", promotion.beats_controls, "least {:+.3f} nats", "[{:+.3f}, {:+.3f}]"),
        ("keeps it with size", promotion.lasts, "largest ÷ smallest {:.2f}", "[{:.2f}, {:.2f}]"),
    ]
    verdict = "promoted" if promotion.promoted else "not promoted"
    lines = [f"{promotion.setting} {promotion.contestant}: {verdict}"]
    for title, check, mean, ends in parts:
        if check is None:
            lines.append(f"{title}: not tested")
            continue
        shown = mean.format(check.value.mean)
        if check.value.low is not None and check.value.high is not None:
            shown += " " + ends.format(check.value.low, check.value.high)
        lines.append(f"{title}: {'yes' if check.passed else 'no'} ({shown}, {check.where})")
    if promotion.measure == "tokens":
        lines.append("steps were not timed")
    return "; ".join(lines)


def _measured(multiplier: Multiplier, timed: bool) -> Interval | None:
    return multiplier.seconds if timed else multiplier.tokens


def _saves(own: Sequence[Multiplier], timed: bool) -> Check | None:
    values = [(value, m) for m in own if (value := _measured(m, timed)) is not None]
    if not values:
        return None
    value, where = min(values, key=lambda each: each[0].mean)
    return Check(passed=value.mean > 1, where=f"{where.size} at {where.budget:g}", value=value)


def _beats(setting: Setting, contestant: str, controls: Iterable[str]) -> Check | None:
    own = setting.losses[contestant]
    checks = []
    for control in controls:
        theirs = setting.losses[control]
        spread = pair_spread(theirs, own)
        for size, budget in own:
            longest = max(b for s, b in own if s == size)
            pairs = theirs.get((size, budget), {})
            gains = [
                pairs[seed] - loss for seed, loss in own[size, budget].items() if seed in pairs
            ]
            if gains and budget in (AT_BUDGET, longest):
                value = _normal(float(np.mean(gains)), spread / len(gains) ** 0.5)
                where = f"{control}, {size} at {budget:g}"
                checks.append(Check(passed=value.mean > 0, where=where, value=value))
    return min(checks, key=lambda check: check.value.mean, default=None)


def _lasts(setting: Setting, own: Sequence[Multiplier], timed: bool) -> Check | None:
    """The ratio of what is saved at the largest size and at the smallest, at their own budgets."""
    checks = []
    for budget in sorted({m.budget for m in own}):
        cells = sorted(
            (setting.parameters[m.size], m.size, value)
            for m in own
            if m.budget == budget and (value := _measured(m, timed)) is not None
        )
        if len(cells) < 2:
            continue
        (_, small, first), (_, large, last) = cells[0], cells[-1]
        ratio = last.mean / first.mean
        errors = [_log_error(each) for each in (first, last)]
        if None in errors:
            value = Interval(mean=ratio, low=None, high=None)
        else:
            error = math.hypot(*(each for each in errors if each is not None))
            ends = [ratio * math.exp(sign * _Z * error) for sign in (-1, 1)]
            value = Interval(mean=ratio, low=ends[0], high=ends[1])
        passed = ratio >= 1 or (value.high is not None and value.high >= 1)
        where = f"{large} against {small} at {budget:g}"
        checks.append(Check(passed=passed, where=where, value=value))
    # Any budget at which it falls counts.
    return min(checks, key=lambda check: (check.passed, check.value.mean), default=None)


def _log_error(value: Interval) -> float | None:
    """Standard error of the logarithm, from an interval of 95 %."""
    if value.low is None or value.high is None or value.low <= 0 or value.low == value.high:
        return None
    return (math.log(value.high) - math.log(value.low)) / (2 * _Z)


def _normal(mean: float, error: float) -> Interval:
    if error == 0:
        return Interval(mean=mean, low=None, high=None)
    return Interval(mean=mean, low=mean - _Z * error, high=mean + _Z * error)
