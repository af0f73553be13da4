"""Compute multipliers from annealed runs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from latentwave.bench.ladder.laws import ONE_SIZE, Law, fit_law
from latentwave.bench.ladder.results import CellCost, HeldOut, Interval, LadderPoint, Multiplier
from latentwave.bench.training import BASELINE

REPLICATES = 400
_JOINT_LAW = 6  # points of all sizes from which they get one together
Losses = dict[tuple[str, float], dict[int, float]]
"""Losses by (size, budget) and seed."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs of one setting.

    Attributes:
        losses: of every contestant, those that did not diverge.
        parameters: of the plain decoder, by size.
        tokens: by size and budget.
    """

    losses: dict[str, Losses]
    parameters: dict[str, int]
    tokens: dict[tuple[str, float], int]


def group_points(points: Sequence[LadderPoint], costs: Sequence[CellCost]) -> dict[str, Setting]:
    """Points by setting, contestant, size, budget and seed."""
    found: dict[str, Setting] = {}
    for point in points:
        own = found.setdefault(point.setting, Setting({}, {}, {}))
        own.tokens[point.size, point.budget] = point.tokens
        if point.loss is not None:
            cells = own.losses.setdefault(point.contestant, {})
            cells.setdefault((point.size, point.budget), {})[point.seed] = point.loss
    for cost in costs:
        if cost.contestant == BASELINE and cost.setting in found:
            found[cost.setting].parameters[cost.size] = cost.num_parameters
    return found


def fit_laws(
    setting: Setting, losses: Losses, starts: dict[str, Law] | None = None
) -> dict[str, Law]:
    """A law for every size: its own where it has enough budgets, else that of all sizes.

    Args:
        setting: tokens and parameters.
        losses: of the plain decoder.
        starts: laws of nearly the same losses.
    """
    means = _means(losses)
    found: dict[str, Law] = {}
    joint: Law | None = None
    for size in dict.fromkeys(size for size, _ in means):
        own = [
            (setting.parameters[size], setting.tokens[size, budget], loss)
            for (name, budget), loss in means.items()
            if name == size
        ]
        start = None if starts is None else starts.get(size)
        if len(own) >= ONE_SIZE:
            found[size] = fit_law(own, start)
        elif joint is not None or (len(means) > 5 and len({name for name, _ in means}) > 1):
            joint = joint or joint_law(setting, means, start)
            found[size] = joint
    return found


def fit_means(setting: Setting) -> Law | None:
    """The law of the plain decoder over all sizes; None for too few runs."""
    means = _means(setting.losses.get(BASELINE, {}))
    if len(means) < _JOINT_LAW or len({size for size, _ in means}) < 2:
        return None
    return joint_law(setting, means)


def joint_law(
    setting: Setting, means: dict[tuple[str, float], float], start: Law | None = None
) -> Law:
    """The law of all sizes."""
    points = [
        (setting.parameters[size], setting.tokens[size, budget], loss)
        for (size, budget), loss in means.items()
    ]
    return fit_law(points, start if start is not None and start.size_factor else None)


def multipliers_of(
    name: str,
    setting: Setting,
    costs: Sequence[CellCost],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[Multiplier]:
    """Multipliers of all contestants of a setting.

        M = D_plain(L) ÷ D_plain(L_plain)

    for the contestant's loss L and the plain decoder's loss L_plain after the same tokens; D_plain
    is the law of the plain decoder at this size, solved for its tokens. Intervals are percentiles
    over replicates with the noise of the seeds: that of the plain decoder's runs, with the law
    fitted anew, and that of the differences of pairs of one seed. A few seeds in one cell tell
    little about it, so each is pooled over all cells of the setting that have several.

    Args:
        name: of the setting.
        setting: its runs.
        costs: of all contestants.
        replicates: behind each interval.
        seed: of the replicates.
    """
    plain = setting.losses.get(BASELINE, {})
    laws = fit_laws(setting, plain)
    by_cell = {(c.size, c.contestant): c for c in costs if c.setting == name}
    random = np.random.default_rng(seed)
    spread_of_plain = _spread(plain)
    redrawn = (_redrawn(plain, random, spread_of_plain) for _ in range(replicates))
    refitted = [fit_laws(setting, each, laws) for each in redrawn]
    found = []
    for contestant, losses in setting.losses.items():
        if contestant == BASELINE:
            continue
        spread = pair_spread(plain, losses)
        for (size, budget), own in losses.items():
            theirs = plain.get((size, budget), {})
            pairs = {each: (theirs[each], own[each]) for each in own if each in theirs}
            if not pairs:
                continue
            N = setting.parameters[size]
            base, loss = (float(np.mean(each)) for each in zip(*pairs.values(), strict=True))
            gains, tokens = [], []
            for law in (each.get(size) for each in refitted):
                drawn = loss + _noise(spread, len(pairs), random)
                gains.append(base - drawn)
                tokens.append(_ratio(law, N, base, drawn))
            ratio = _ratio(laws.get(size), N, base, loss)
            lowest = min(min(each.values()) for key, each in plain.items() if key[0] == size)
            costs_of = [by_cell.get((size, each)) for each in (contestant, BASELINE)]
            found.append(
                Multiplier(
                    setting=name,
                    size=size,
                    contestant=contestant,
                    budget=budget,
                    num_seeds=len(pairs),
                    gain=_interval(base - loss, gains),
                    tokens=_scaled(ratio, tokens, 1.0),
                    flops=_scaled(ratio, tokens, _flops_ratio(*costs_of)),
                    seconds=_scaled(ratio, tokens, _seconds_ratio(*costs_of)),
                    extrapolated=loss < lowest,
                )
            )
    return found


def held_out_checks(name: str, setting: Setting) -> list[HeldOut]:
    """Predict the largest budget of every size from a law of all smaller ones."""
    means = _means(setting.losses.get(BASELINE, {}))
    largest = {
        size: max(budget for _, budget in group)
        for size, group in itertools.groupby(sorted(means), key=lambda key: key[0])
    }
    rest = {key: loss for key, loss in means.items() if key[1] != largest[key[0]]}
    if len(rest) < _JOINT_LAW or len({size for size, _ in rest}) < 2:
        return []
    law = joint_law(setting, rest)
    return [
        HeldOut(
            setting=name,
            size=size,
            budget=budget,
            predicted=law.loss(setting.parameters[size], setting.tokens[size, budget]),
            measured=means[size, budget],
        )
        for size, budget in largest.items()
    ]


def _means(losses: Losses) -> dict[tuple[str, float], float]:
    return {key: float(np.mean(list(own.values()))) for key, own in losses.items()}


def _ratio(law: Law | None, N: float, base: float, loss: float) -> float:
    if law is None:
        return math.nan
    return law.tokens_for(N, loss) / law.tokens_for(N, base)


def _redrawn(losses: Losses, random: np.random.Generator, spread: float) -> Losses:
    """Means with the noise that means over so many seeds have."""
    return {
        key: {0: float(np.mean(list(own.values()))) + _noise(spread, len(own), random)}
        for key, own in losses.items()
    }


def _noise(spread: float, num_seeds: int, random: np.random.Generator) -> float:
    return float(spread / num_seeds**0.5 * random.normal())


def _spread(losses: Losses) -> float:
    """Standard deviation over seeds, pooled over all cells with several."""
    return _pooled([list(own.values()) for own in losses.values()])


def pair_spread(plain: Losses, losses: Losses) -> float:
    """Standard deviation over seeds of the difference of two runs of one seed, pooled."""
    return _pooled(
        [
            [plain[key][seed] - loss for seed, loss in own.items() if seed in plain.get(key, {})]
            for key, own in losses.items()
        ]
    )


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    squares = sum(float(np.var(group)) * len(group) for group in groups if len(group) > 1)
    freedom = sum(len(group) - 1 for group in groups if len(group) > 1)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _interval(mean: float, values: Sequence[float]) -> Interval:
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 0.9 * len(values):
        low = float(np.quantile(finite, 0.025)) if finite else None
        return Interval(mean=mean, low=low, high=None)
    ends = np.quantile(finite, [0.025, 0.975])
    return Interval(mean=mean, low=float(ends[0]), high=float(ends[1]))


def _scaled(mean: float, values: Sequence[float], by: float | None) -> Interval | None:
    if by is None or not math.isfinite(mean):
        return None
    return _interval(mean * by, [value * by for value in values])


def _flops_ratio(own: CellCost | None, plain: CellCost | None) -> float | None:
    return None if own is None or plain is None else plain.flops_per_token / own.flops_per_token


def _seconds_ratio(own: CellCost | None, plain: CellCost | None) -> float | None:
    if own is None or plain is None:
        return None
    if own.tokens_per_second is None or plain.tokens_per_second is None:
        return None
    return own.tokens_per_second / plain.tokens_per_second
