"""Computes what contestants save, as multiples of the plain decoder's tokens and compute."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from latentwave.bench.ladder.laws import ONE_SIZE, Law, fit_law
from latentwave.bench.ladder.results import CellCost, HeldOut, Interval, LadderPoint, Multiplier
from latentwave.bench.training import BASELINE

_JOINT_LAW = 6  # points that a law of all sizes needs
_NEAR = 1.25  # the law of a size is read up to this many times its nearest run's tokens
Losses = dict[tuple[str, float], dict[int, float]]
"""Losses by (size, budget) and seed."""
Means = dict[tuple[str, float], float]


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs of one setting."""

    losses: dict[str, Losses]  # by contestant, without runs that diverged
    parameters: dict[str, int]  # of the plain decoder, by size
    tokens: dict[tuple[str, float], int]  # of runs that did not diverge, by size and budget
    diverged: dict[str, list[tuple[str, float, int]]]  # by contestant: size, budget and seed

    def fit(self, means: Means, start: Law | None = None) -> Law:
        """Fit one law to mean losses of the plain decoder."""
        points = [(self.parameters[k[0]], self.tokens[k], loss) for k, loss in means.items()]
        return fit_law(points, start)

    def size_ratio(self, laws: dict[str, Law], size: str, budget: float, gain: float) -> float:
        """How many times larger a plain decoder is that gains as much after the same tokens.

        Interpolated over the logarithm of the size, between the laws of all sizes that were trained
        to about as many tokens; nan if the loss lies beyond these or does not fall with size.
        """
        tokens = self.tokens[size, budget]
        losses = {}
        for name, law in laws.items():
            measured = [count for (key, _), count in self.tokens.items() if key == name]
            if min(measured) / _NEAR <= tokens <= max(measured) * _NEAR:
                losses[name] = law.loss(self.parameters[name], tokens)
        names = sorted(losses, key=lambda name: -self.parameters[name])
        rising = [losses[name] for name in names]
        if size not in losses or any(a >= b for a, b in itertools.pairwise(rising)):
            return math.nan
        ratios = [math.log(self.parameters[name] / self.parameters[size]) for name in names]
        wanted = losses[size] - gain
        return float(np.exp(np.interp(wanted, rising, ratios, left=math.nan, right=math.nan)))


def group_points(points: Sequence[LadderPoint], costs: Sequence[CellCost]) -> dict[str, Setting]:
    """Group annealed runs by setting."""
    settings: dict[str, Setting] = {}
    for p in points:
        setting = settings.setdefault(p.setting, Setting({}, {}, {}, {}))
        if p.loss is None:
            setting.diverged.setdefault(p.contestant, []).append((p.size, p.budget, p.seed))
        else:
            setting.tokens[p.size, p.budget] = p.tokens
            losses = setting.losses.setdefault(p.contestant, {})
            losses.setdefault((p.size, p.budget), {})[p.seed] = p.loss
    for cost in costs:
        if cost.contestant == BASELINE and cost.setting in settings:
            settings[cost.setting].parameters[cost.size] = cost.num_parameters
    return settings


def fit_laws(
    setting: Setting, means: Means, starts: dict[str, Law] | None = None
) -> dict[str, Law]:
    """A law for every size: its own if it has enough budgets, else the one of all sizes.

    `means` are losses of the plain decoder, `starts` laws of nearly the same losses.
    """
    laws: dict[str, Law] = {}
    joint: Law | None = None
    for size in dict.fromkeys(size for size, _ in means):
        at_size = {key: loss for key, loss in means.items() if key[0] == size}
        start = (starts or {}).get(size)
        if len(at_size) >= ONE_SIZE:
            laws[size] = setting.fit(at_size, start)
        elif _has_joint_law(means):
            joint = joint or setting.fit(means, start if start and start.size_factor else None)
            laws[size] = joint
    return laws


def fit_means(setting: Setting) -> Law | None:
    """The law of the plain decoder over all sizes; None if there are too few runs."""
    means = _means(setting.losses.get(BASELINE, {}))
    return setting.fit(means) if _has_joint_law(means) else None


def multipliers_of(
    name: str, setting: Setting, costs: Sequence[CellCost], *, replicates: int = 400
) -> list[Multiplier]:
    """Multipliers of all contestants of a setting.

        M = D_plain(L) ÷ D_plain(L_plain)

    for the contestant's loss L and the plain decoder's loss L_plain after the same tokens; D_plain
    is the plain decoder's law at this size, solved for its tokens. Intervals are percentiles over
    replicates that redraw the noise of the seeds: in the plain decoder's runs, to which laws are
    fitted again, and in the differences of pairs of one seed. Both spreads are pooled over all
    cells of the setting with several seeds, because a few seeds in one cell say little.
    """
    plain = setting.losses.get(BASELINE, {})
    laws = fit_laws(setting, _means(plain))
    by_cell = {(c.size, c.contestant): c for c in costs if c.setting == name}
    random = np.random.default_rng(0)

    def noise(spread: float, num_seeds: int) -> float:
        return float(spread / num_seeds**0.5 * random.normal())

    spread_of_plain = _pooled([list(each.values()) for each in plain.values()])
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
        for (size, budget), by_seed in losses.items():
            plain_by_seed = plain.get((size, budget), {})
            pairs = [(plain_by_seed[s], by_seed[s]) for s in by_seed if s in plain_by_seed]
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
            lowest = min(loss for key, loss in means.items() if key[0] == size)
            # The cost of a token for the plain decoder ÷ for the contestant.
            cost, plain_cost = by_cell[size, contestant], by_cell[size, BASELINE]
            flops = plain_cost.flops_per_token / cost.flops_per_token
            speed, plain_speed = cost.tokens_per_second, plain_cost.tokens_per_second
            seconds = None if speed is None or plain_speed is None else speed / plain_speed
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
                    extrapolated=size in laws and loss < lowest,
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
            [plain[key][s] - loss for s, loss in by_seed.items() if s in plain.get(key, {})]
            for key, by_seed in losses.items()
        ]
    )


def token_ratio(law: Law | None, N: float, base: float, loss: float) -> float:
    """Tokens to `loss` ÷ tokens to `base`; nan if there is no law, or one that never gets there."""
    if law is None or math.isinf(used := law.tokens_for(N, base)):
        return math.nan
    return law.tokens_for(N, loss) / used


def _has_joint_law(means: Means) -> bool:
    return len(means) >= _JOINT_LAW and len({size for size, _ in means}) > 1


def _means(losses: Losses) -> Means:
    return {key: float(np.mean(list(each.values()))) for key, each in losses.items()}


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within groups, pooled over those with several values."""
    several = [group for group in groups if len(group) > 1]
    squares = sum(float(np.var(group)) * len(group) for group in several)
    freedom = sum(len(group) - 1 for group in several)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _interval(mean: float, values: Sequence[float]) -> Interval:
    finite = [value for value in values if math.isfinite(value)]
    low, high = np.quantile(finite, [0.025, 0.975]).tolist() if finite else (None, None)
    whole = len(finite) >= 0.9 * len(values)  # or else the upper end is infinite
    return Interval(mean=mean, low=low, high=high if whole else None)


def _scaled(mean: float, values: Sequence[float], by: float | None) -> Interval | None:
    if by is None or not math.isfinite(mean):
        return None
    return _interval(mean * by, [value * by for value in values])
