"""The rule for a default: which contestants have earned it, and what the others miss."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from latentwave.bench.ladder.multipliers import Setting, pair_spread
from latentwave.bench.ladder.results import Check, Interval, Multiplier, Promotion
from latentwave.bench.training import BASELINE

_AT_BUDGET = 20.0  # tokens per parameter where controls must be beaten, and at the longest budget
_Z = 1.96  # the normal quantile of a 95 % interval
_Saved = list[tuple[Multiplier, Interval]]
Runs = set[tuple[str, float, int]]
"""Size, budget and seed."""
Wanted = dict[str, dict[str, Runs]]
"""The runs of a recipe by setting and contestant."""


def promotions_of(
    name: str,
    setting: Setting,
    multipliers: Sequence[Multiplier],
    controls: Sequence[str],
    wanted: Mapping[str, Runs],
) -> list[Promotion]:
    """Hold every contestant of a setting that is no control against the rule.

    A default saves compute at every size and budget, ends below every control at 20 tokens per
    parameter and at the longest budget, and saves no less at the largest size than at the smallest,
    within its interval. Compute is seconds if steps were timed, else tokens, which promote nothing.
    Nor is anything promoted while runs are missing: `wanted` are those of the recipe by contestant,
    of which the others need only those beside a run of the contestant.
    """
    found = []
    for contestant in setting.losses:
        cells = [m for m in multipliers if (m.setting, m.contestant) == (name, contestant)]
        if contestant == BASELINE or contestant in controls or not cells:
            continue
        # Without a multiplier in tokens there is none in seconds either.
        timed = all(m.seconds is not None for m in cells if m.tokens is not None)
        measured = ((m, m.seconds if timed else m.tokens) for m in cells)
        saved = [(m, value) for m, value in measured if value is not None]
        others = [each for each in controls if each != BASELINE and each in setting.losses]
        needed = {
            each: wanted[contestant] & wanted[each]
            for each in {contestant, BASELINE, *controls} & wanted.keys()
        }
        missing = sum(len(runs - _finished(setting, each)) for each, runs in needed.items())
        saves = _saves(saved, setting.diverged.get(contestant))
        beats, lasts = _beats(setting, contestant, others), _lasts(setting, saved)
        passed = all(check is not None and check.passed for check in (saves, beats, lasts))
        found.append(
            Promotion(
                setting=name,
                contestant=contestant,
                measure="seconds" if timed else "tokens",
                saves=saves,
                beats_controls=beats,
                lasts=lasts,
                num_missing=missing,
                promoted=timed and passed and not missing,
            )
        )
    return found


def _finished(setting: Setting, contestant: str) -> Runs:
    losses = setting.losses.get(contestant, {})
    finite = {(*key, seed) for key, by_seed in losses.items() for seed in by_seed}
    return finite | set(setting.diverged.get(contestant, ()))


def _saves(saved: _Saved, diverged: Sequence[tuple[str, float, int]] | None) -> Check | None:
    if diverged:
        size, budget, _ = diverged[0]
        never = Interval(mean=0.0, low=None, high=None)
        return Check(passed=False, where=f"{size} at {budget:g} diverged", value=never)
    if not saved:
        return None
    where, value = min(saved, key=lambda each: each[1].mean)
    return Check(passed=value.mean > 1, where=f"{where.size} at {where.budget:g}", value=value)


def _beats(setting: Setting, contestant: str, controls: Iterable[str]) -> Check | None:
    losses = setting.losses[contestant]
    checks = []
    for control in controls:
        control_losses = setting.losses[control]
        spread = pair_spread(control_losses, losses)
        for (size, budget), by_seed in losses.items():
            longest = max(b for s, b in losses if s == size)
            pairs = control_losses.get((size, budget), {})
            gains = [pairs[seed] - loss for seed, loss in by_seed.items() if seed in pairs]
            if gains and budget in (_AT_BUDGET, longest):
                mean, error = float(np.mean(gains)), _Z * spread / len(gains) ** 0.5
                low, high = (mean - error, mean + error) if error else (None, None)
                value = Interval(mean=mean, low=low, high=high)
                where = f"{control}, {size} at {budget:g}"
                checks.append(Check(passed=value.mean > 0, where=where, value=value))
    return min(checks, key=lambda check: check.value.mean, default=None)


def _lasts(setting: Setting, saved: _Saved) -> Check | None:
    """What is saved at the largest size ÷ at the smallest, for each budget."""
    checks = []
    for budget in sorted({m.budget for m, _ in saved}):
        cells = sorted(
            (setting.parameters[m.size], m.size, value) for m, value in saved if m.budget == budget
        )
        if len(cells) < 2:
            continue
        (_, small, first), (_, large, last) = cells[0], cells[-1]
        ratio = last.mean / first.mean
        low = high = None
        errors = [error for error in map(_log_error, (first, last)) if error is not None]
        if len(errors) == 2:
            low, high = (ratio * math.exp(sign * _Z * math.hypot(*errors)) for sign in (-1, 1))
        passed = ratio >= 1 or (high is not None and high >= 1)
        where = f"{large} against {small} at {budget:g}"
        value = Interval(mean=ratio, low=low, high=high)
        checks.append(Check(passed=passed, where=where, value=value))
    # One budget at which it falls is enough to fail.
    return min(checks, key=lambda check: (check.passed, check.value.mean), default=None)


def _log_error(value: Interval) -> float | None:
    """Standard error of the logarithm, from an interval of 95 %."""
    if value.low is None or value.high is None or value.low <= 0 or value.low == value.high:
        return None
    return (math.log(value.high) - math.log(value.low)) / (2 * _Z)
