"""Fits scaling laws of the plain decoder."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from latentwave.bench.comparison.results import Record

ONE_SIZE = 3
"""Points that the law of a single size needs."""
_HUBER = 0.01  # in the logarithm of the loss; residuals of good runs are smaller

Points = Sequence[tuple[float, float, float]]
"""(parameters, tokens, loss) of annealed runs."""


class Law(Record):
    """Loss of annealed runs against parameters and tokens, in nats per token.

        L(N, D) = E + A · N^−α + B · D^−β

    Reference: Hoffmann et al., "Training Compute-Optimal Large Language Models" (2022), approach 3;
    the residuals are soft-clipped (Huber) in log L.
    """

    irreducible: float  # E
    size_factor: float  # A; 0 in a law of one size
    size_exponent: float  # α
    token_factor: float  # B
    token_exponent: float  # β

    def loss(self, num_parameters: float, num_tokens: float) -> float:
        """The expected loss in nats per token."""
        falling = self.token_factor * float(num_tokens**-self.token_exponent)
        return self.floor(num_parameters) + falling

    def floor(self, num_parameters: float) -> float:
        """The loss that a size approaches with more and more tokens."""
        return self.irreducible + self.size_factor * float(num_parameters**-self.size_exponent)

    def tokens_for(self, num_parameters: float, loss: float) -> float:
        """Tokens after which the law reaches a loss; infinite if it never does."""
        above = loss - self.floor(num_parameters)
        if not above > 0:
            return math.inf
        try:
            return float((above / self.token_factor) ** (-1 / self.token_exponent))
        except OverflowError:
            return math.inf


def fit_law(points: Points, start: Law | None = None) -> Law:
    """Fit a law to annealed runs of one or several sizes.

    Returns the best fit of several starts, or the one from `start`, the law of similar points. The
    law of one size has the floor E alone and needs three points; others need five.
    """
    N, D, L = np.array(list(points), dtype=np.float64).T
    several = len(set(N)) > 1
    least = 5 if several else ONE_SIZE
    if len(points) < least:
        raise ValueError(f"a law needs at least {least} points, got {len(points)}")
    n0, d0 = float(np.exp(np.log(N).mean())), float(np.exp(np.log(D).mean()))

    def unpacked(theta: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
        # Exponents, and the terms at the centre of the points, are fitted as logarithms.
        floor, token, beta, *rest = np.exp(theta).tolist()
        size, alpha = rest or (0.0, 1.0)
        return floor, size, alpha, token, beta

    def residuals(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        floor, size, alpha, token, beta = unpacked(theta)
        expected = floor + size * (N / n0) ** -alpha + token * (D / d0) ** -beta
        found: NDArray[np.float64] = np.log(expected) - np.log(L)
        return found

    starts = _starts(float(L.min()), several) if start is None else [_packed(start, n0, d0)]
    # No measured power law has had exponents outside these bounds.
    low, high = np.array([[-15.0, 15.0]] * len(starts[0])).T
    low[2::2], high[2::2] = np.log(0.02), np.log(4.0)
    fits = [
        least_squares(
            residuals,
            np.clip(first, low + 1e-6, high - 1e-6),
            bounds=(low, high),
            loss="huber",
            f_scale=_HUBER,
            max_nfev=300,
        )
        for first in starts
    ]
    floor, size, alpha, token, beta = unpacked(min(fits, key=lambda each: each.cost).x)
    return Law(
        irreducible=floor,
        size_factor=size * n0**alpha,
        size_exponent=alpha,
        token_factor=token * d0**beta,
        token_exponent=beta,
    )


def _starts(low: float, several: bool) -> list[list[float]]:
    """Starting points: several irreducible shares of the lowest loss, and several exponents."""
    starts = []
    for share, beta, alpha in itertools.product(
        (0.3, 0.6, 0.9), (0.2, 0.5, 1.0), (0.2, 0.6) if several else (0.0,)
    ):
        rest = math.log(low * (1 - share) / 2 + 1e-3)
        start = [math.log(low * share), rest, math.log(beta)]
        starts.append([*start, rest, math.log(alpha)] if several else start)
    return starts


def _packed(law: Law, n0: float, d0: float) -> list[float]:
    token = law.token_factor * d0**-law.token_exponent
    start = [math.log(law.irreducible), math.log(token), math.log(law.token_exponent)]
    if law.size_factor == 0:
        return start
    size = law.size_factor * n0**-law.size_exponent
    return [*start, math.log(size), math.log(law.size_exponent)]
