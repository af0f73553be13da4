"""Speed-ups and intervals over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with its confidence interval.

    Attributes:
        mean: over seeds.
        low: lower end of the interval; None with one seed.
        high: upper end of the interval; None with one seed.
    """

    mean: float
    low: float | None
    high: float | None


def estimate(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Mean and percentile bootstrap interval.

    Reference: Efron and Tibshirani (1993), percentile interval, 9,999 resamples. With few seeds
    it is narrower than it should be: three seeds give a rough idea, not a proof.

    Args:
        values: one per seed, at least one.
        confidence: of the interval.
        seed: of the resampling.

    Returns:
        The estimate; without an interval if there is one value, or one that is not finite.

    Raises:
        ValueError: for no values.

    Example:
        >>> estimate([2.0])
        Estimate(mean=2.0, low=None, high=None)
        >>> estimate([1.9, 2.0, 2.1]).mean
        2.0
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    mean = float(np.mean(values))
    if len(values) == 1 or not np.isfinite(mean):  # what one seed lacks has no interval
        return Estimate(mean=mean, low=None, high=None)
    if min(values) == max(values):
        return Estimate(mean=mean, low=mean, high=mean)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(mean=mean, low=float(interval.low), high=float(interval.high))


def first_crossing(losses: Sequence[float], costs: Sequence[float], target: float) -> float | None:
    """What it cost until a loss curve first came down to a target.

    Between two evaluations the loss is taken to fall on a straight line.

    Args:
        losses: at each evaluation, in nats.
        costs: spent up to each evaluation (steps, FLOPs or seconds), increasing.
        target: a loss in nats.

    Returns:
        The cost, or None if the curve stays above the target.

    Raises:
        ValueError: if the two differ in length.

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


def speedup(
    baseline: tuple[Sequence[float], Sequence[float]],
    contestant: tuple[Sequence[float], Sequence[float]],
) -> float:
    """How many times sooner a contestant reaches the same loss, for one seed.

        speed-up = cost of the baseline's last loss for the baseline ÷ for the contestant

    A contestant that never gets there is compared at its own lowest loss instead: the lowest that
    both reach.

    Args:
        baseline: losses in nats and costs at each evaluation.
        contestant: the same, on its own costs.

    Returns:
        The ratio; above 1 the contestant is faster.

    Example:
        >>> steps = [0, 100, 200]
        >>> speedup(([4.0, 3.0, 2.0], steps), ([4.0, 2.0, 1.5], steps))
        2.0
    """
    if math.isnan(contestant[0][-1]):
        return float("nan")
    target = max(baseline[0][-1], min(contestant[0]))
    own = first_crossing(*contestant, target)
    reference = first_crossing(*baseline, target)
    if own is None or reference is None:  # NaN losses: a run that diverged has no speed
        return float("nan")
    return reference / own if own > 0 else float("nan")
