"""Speed-ups and intervals over seeds.

Every interval is over pairs: it takes one number per seed, a ratio or a difference of two runs
that share initial weights and batches, so that the luck of a seed cancels.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from latentwave.bench.comparison.results import Estimate

Curve = tuple[Sequence[float], Sequence[float]]
"""Losses in nats, and costs, at each evaluation."""


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and percentile bootstrap interval of 95 % of one value per seed.

    Reference: Efron and Tibshirani (1993), percentile interval, 9,999 resamples. With few seeds
    it is too narrow, see `highest_coverage`.

    Returns:
        No interval for a single value, no mean if a value is not finite.

    Example:
        >>> estimate([2.0])
        Estimate(mean=2.0, low=None, high=None)
        >>> estimate([1.9, 2.0, 2.1]).mean
        2.0
    """
    mean = float(np.mean(values))
    if len(values) == 1 or not np.isfinite(mean):
        return Estimate(mean=mean)
    if min(values) == max(values):
        return Estimate(mean=mean, low=mean, high=mean)
    resampled = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(0)
    )
    interval = resampled.confidence_interval
    return Estimate(mean=mean, low=float(interval.low), high=float(interval.high))


def estimate_ratio(values: Sequence[float]) -> Estimate:
    """Geometric mean of ratios >= 0, one per seed, and its percentile bootstrap interval.

        mean = exp( (1/n) · Σ log r_i )

    Twice as fast with one seed and half as fast with another is equally fast; the arithmetic mean
    would say 1.25 times, whichever run is the denominator.

    Returns:
        As `estimate`; no interval if a value is 0, no mean if one is not finite.

    Example:
        >>> estimate_ratio([2.0, 0.5]).mean
        1.0
    """
    if not np.isfinite(values).all():
        return Estimate(mean=None)
    if min(values) == 0:
        return Estimate(mean=0.0)
    logs = estimate([math.log(v) for v in values])
    mean, low, high = (None if x is None else math.exp(x) for x in (logs.mean, logs.low, logs.high))
    return Estimate(mean=mean, low=low, high=high)


def highest_coverage(num_seeds: int) -> float:
    """The highest coverage that a bootstrap interval over n seeds can have.

        1 − 2^(1−n)

    The interval lies between the lowest and the highest value. With probability 2 · 2^(−n) all n
    values lie on one side of the true median, and the interval misses it at any confidence.

    Example:
        >>> [highest_coverage(n) for n in (1, 3, 6)]
        [0.0, 0.75, 0.96875]
    """
    return float(1 - 2.0 ** (1 - num_seeds))


def seeds_needed(confidence: float = 0.95) -> int:
    """The fewest seeds whose bootstrap interval can have that confidence, 0 < confidence < 1.

    Example:
        >>> seeds_needed(0.95)
        6
    """
    return 1 + math.ceil(-math.log2(1 - confidence))


def first_crossing(losses: Sequence[float], costs: Sequence[float], target: float) -> float | None:
    """The cost at which a loss curve first reaches a target, interpolated linearly.

    Losses are in nats; costs (steps, FLOPs or seconds) are what was spent up to the same
    evaluations. None if the curve stays above the target.

    Example:
        >>> first_crossing([4.0, 3.0, 2.0], [0, 100, 200], 2.5)
        150.0
    """
    for index, (loss, cost) in enumerate(zip(losses, costs, strict=True)):
        if loss <= target:
            if index == 0:
                return float(cost)
            before, cost_before = losses[index - 1], costs[index - 1]
            return float(cost_before + (cost - cost_before) * (before - target) / (before - loss))
    return None


def speedup(baseline: Curve, contestant: Curve) -> float:
    """How many times faster a contestant reaches the baseline's final loss, for one seed.

        speed-up = cost of that loss for the baseline ÷ for the contestant

    A contestant that never gets there is compared at its own lowest loss, the lowest that both
    reach. NaN for a run that diverged.

    Example:
        >>> steps = [0, 100, 200]
        >>> speedup(([4.0, 3.0, 2.0], steps), ([4.0, 2.0, 1.5], steps))
        2.0
    """
    if math.isnan(contestant[0][-1]):
        return math.nan
    target = max(baseline[0][-1], min(contestant[0]))
    cost, reference = first_crossing(*contestant, target), first_crossing(*baseline, target)
    return math.nan if not cost or reference is None else reference / cost
