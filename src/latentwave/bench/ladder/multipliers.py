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

_JOINT_LAW = 6  # points of all sizes from which they get one together
_NEAR = 1.25  # times the tokens of the nearest run, as far as the law of one size is read
Losses = dict[tuple[str, float], dict[int, float]]
"""Losses by (size, budget) and seed."""
Means = dict[tuple[str, float], float]


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs of one setting."""

    losses: dict[str, Losses]  # of every contestant, those that did not diverge
    parameters: dict[str, int]  # of the plain decoder, by size
    tokens: dict[tuple[str, float], int]  # of a run that did not diverge, by size and budget
    diverged: dict[str, list[tuple[str, float, int]]]  # by contestant: size, budget and seed

    def fit(self, means: Means, start: Law | None = None) -> Law:
        """One law for all of these losses of the plain decoder."""
        points = [(self.parameters[k[0]], self.tokens[k], loss) for k, loss in means.items()]
        return fit_law(points, start)

    def size_ratio(self, laws: dict[str, Law], size: str, budget: float, gain: float) -> float:
        """How much larger the plain decoder that is better by `gain` after as many tokens is.

        Interpolated over the logarithm of the size between the laws of all sizes trained to about
        as many tokens; nan where the loss lies beyond these, or does not fall with size.
        """
        tokens = self.tokens[size, budget]
        found = {}
        for name, law in laws.items():
            measured = [count for (own, _), count in self.tokens.items() if own == name]
            if min(measured) / _NEAR <= tokens <= max(measured) * _NEAR:
                found[name] = law.loss(self.parameters[name], tokens)
        if size not in found:
            return math.nan
        names = sorted(found, key=lambda name: -self.parameters[name])
        losses = [found[name] for name in names]
        if any(large >= small for large, small in itertools.pairwise(losses)):
            return math.nan
        places = [math.log(self.parameters[name] / self.parameters[size]) for name in names]
        wanted = found[size] - gain
        return float(np.exp(np.interp(wanted, losses, places, left=math.nan, right=math.nan)))


def group_points(points: Sequence[LadderPoint], costs: Sequence[CellCost]) -> dict[str, Setting]:
    """Points by setting, contestant, size, budget and seed."""
    found: dict[str, Setting] = {}
    for point in points:
        own = found.setdefault(point.setting, Setting({}, {}, {}, {}))
        if point.loss is not None:
            own.tokens[point.size, point.budget] = point.tokens
            cells = own.losses.setdefault(point.contestant, {})
            cells.setdefault((point.size, point.budget), {})[point.seed] = point.loss
        else:
            end = point.size, point.budget, point.seed
            own.diverged.setdefault(point.contestant, []).append(end)
    for cost in costs:
        if cost.contestant == BASELINE and cost.setting in found:
            found[cost.setting].parameters[cost.size] = cost.num_parameters
    return found


def fit_laws(
    setting: Setting, means: Means, starts: dict[str, Law] | None = None
) -> dict[str, Law]:
    """A law for every size: its own where it has enough budgets, else that of all sizes.

    `means` are losses of the plain decoder, `starts` laws of nearly the same losses.
    """
    found: dict[str, Law] = {}
    joint: Law | None = None
    for size in dict.fromkeys(size for size, _ in means):
        own = {key: loss for key, loss in means.items() if key[0] == size}
        start = (starts or {}).get(size)
        if len(own) >= ONE_SIZE:
            found[size] = setting.fit(own, start)
        elif joint is not None or _has_joint_law(means):
            joint = joint or setting.fit(means, start if start and start.size_factor else None)
            found[size] = joint
    return found


def fit_means(setting: Setting) -> Law | None:
    """The law of the plain decoder over all sizes; None for too few runs."""
    means = _means(setting.losses.get(BASELINE, {}))
    return setting.fit(means) if _has_joint_law(means) else None


def multipliers_of(
    name: str, setting: Setting, costs: Sequence[CellCost], *, replicates: int = 400
) -> list[Multiplier]:
    """Multipliers of all contestants of a setting.

        M = D_plain(L) ÷ D_plain(L_plain)

    for the contestant's loss L and the plain decoder's loss L_plain after the same tokens; D_plain
    is the law of the plain decoder at this size, solved for its tokens. Intervals are percentiles
    over replicates with the noise of the seeds: that of the plain decoder's runs, with the law
    fitted anew, and that of the differences of pairs of one seed. A few seeds in one cell tell
    little about it, so each is pooled over all cells of the setting that have several.
    """
    plain = setting.losses.get(BASELINE, {})
    laws = fit_laws(setting, _means(plain))
    by_cell = {(c.size, c.contestant): c for c in costs if c.setting == name}
    random = np.random.default_rng(0)

    def noise(spread: float, num_seeds: int) -> float:
        return float(spread / num_seeds**0.5 * random.normal())

    spread_of_plain = _pooled([list(own.values()) for own in plain.values()])
    refitted = []
    for _ in range(replicates):
        means = _means(plain)
        redrawn = {key: m + noise(spread_of_plain, len(plain[key])) for key, m in means.items()}
        refitted.append(fit_laws(setting, redrawn, laws))
    found = []
    for contestant, losses in setting.losses.items():
        if contestant == BASELINE:
            continue
        spread = pair_spread(plain, losses)
        for (size, budget), own in losses.items():
            theirs = plain.get((size, budget), {})
            pairs = [(theirs[each], own[each]) for each in own if each in theirs]
            if not pairs:
                continue
            N = setting.parameters[size]
            base, loss = np.mean(pairs, axis=0).tolist()
            gains, tokens, sizes = [], [], []
            for redrawn_laws in refitted:
                drawn = loss + noise(spread, len(pairs))
                gains.append(base - drawn)
                tokens.append(token_ratio(redrawn_laws.get(size), N, base, drawn))
                sizes.append(setting.size_ratio(redrawn_laws, size, budget, base - drawn))
            ratio = token_ratio(laws.get(size), N, base, loss)
            larger = setting.size_ratio(laws, size, budget, base - loss)
            lowest = min(min(each.values()) for key, each in plain.items() if key[0] == size)
            # What a token of the plain decoder costs ÷ the contestant's.
            its, plains = by_cell[size, contestant], by_cell[size, BASELINE]
            flops = plains.flops_per_token / its.flops_per_token
            speed, usual = its.tokens_per_second, plains.tokens_per_second
            seconds = None if speed is None or usual is None else speed / usual
            found.append(
                Multiplier(
                    setting=name,
                    size=size,
                    contestant=contestant,
                    budget=budget,
                    num_seeds=len(pairs),
                    gain=_interval(base - loss, gains),
                    tokens=_scaled(ratio, tokens, 1.0),
                    flops=_scaled(ratio, tokens, flops),
                    seconds=_scaled(ratio, tokens, seconds),
                    parameters=_scaled(larger, sizes, 1.0),
                    extrapolated=loss < lowest,
                )
            )
    return found


def held_out_checks(name: str, setting: Setting) -> list[HeldOut]:
    """Predict the largest budget of every size from a law of all smaller ones."""
    means = _means(setting.losses.get(BASELINE, {}))
    largest = dict(sorted(means))
    rest = {key: loss for key, loss in means.items() if key[1] != largest[key[0]]}
    if not _has_joint_law(rest):
        return []
    law = setting.fit(rest)
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


def pair_spread(plain: Losses, losses: Losses) -> float:
    """Standard deviation over seeds of the difference of two runs of one seed, pooled."""
    return _pooled(
        [
            [plain[key][seed] - loss for seed, loss in own.items() if seed in plain.get(key, {})]
            for key, own in losses.items()
        ]
    )


def token_ratio(law: Law | None, N: float, base: float, loss: float) -> float:
    """Of tokens; nan without a law, or with one that lies above the plain decoder's own loss."""
    used = math.inf if law is None else law.tokens_for(N, base)
    return math.nan if law is None or math.isinf(used) else law.tokens_for(N, loss) / used


def _has_joint_law(means: Means) -> bool:
    return len(means) >= _JOINT_LAW and len({size for size, _ in means}) > 1


def _means(losses: Losses) -> Means:
    return {key: float(np.mean(list(own.values()))) for key, own in losses.items()}


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within groups, pooled over those with several values."""
    several = [group for group in groups if len(group) > 1]
    squares = sum(float(np.var(group)) * len(group) for group in several)
    freedom = sum(len(group) - 1 for group in several)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _interval(mean: float, values: Sequence[float]) -> Interval:
    finite = [value for value in values if math.isfinite(value)]
    low, high = np.quantile(finite, [0.025, 0.975]).tolist() if finite else (None, None)
    whole = len(finite) >= 0.9 * len(values)  # else the upper end lies among the infinite ones
    return Interval(mean=mean, low=low, high=high if whole else None)


def _scaled(mean: float, values: Sequence[float], by: float | None) -> Interval | None:
    if by is None or not math.isfinite(mean):
        return None
    return _interval(mean * by, [value * by for value in values])
