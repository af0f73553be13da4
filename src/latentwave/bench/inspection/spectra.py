"""What a FIR kernel does to each frequency, and where on the frequency axis it listens."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

DECIBEL_FLOOR = -80.0
_FEWEST_POINTS = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrequencyResponse:
    """Magnitudes of kernels over frequency.

    Attributes:
        frequencies: (F,), cycles per token, evenly from 0 to 1/2.
        magnitude: (N, F), |H|, linear: 1 passes a frequency unchanged.
    """

    frequencies: Float[np.ndarray, " F"]
    magnitude: Float[np.ndarray, "N F"]

    @property
    def decibels(self) -> Float[np.ndarray, "N F"]:
        """20 · log10 |H|, (N, F), not below `DECIBEL_FLOOR`."""
        return decibels(self.magnitude)


def decibels(magnitude: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """20 · log10 of a magnitude, not below `DECIBEL_FLOOR`.

    Example:
        >>> decibels(np.array([1.0, 0.1, 0.0]))
        array([  0., -20., -80.])
    """
    result: Float[np.ndarray, "*shape"] = 20 * np.log10(
        np.maximum(magnitude, 10 ** (DECIBEL_FLOOR / 20))
    )
    return result


def frequency_response(
    taps: Float[np.ndarray, "N K"], num_frequencies: int | None = None
) -> FrequencyResponse:
    """The magnitude responses of kernels, by an FFT of the zero-padded taps.

        H(f) = Σ_k taps(k) · e^{−2πi f k},   0 ≤ f ≤ 1/2 cycles per token

    Args:
        taps: (N, K), real.
        num_frequencies: F, at least K/2 + 1 so that no tap is cut off; by default at least 513
            and four points for each of the K/2 + 1.

    Returns:
        F frequencies and (N, F) magnitudes.

    Raises:
        ValueError: for no taps, or too few frequencies.

    Example:
        >>> response = frequency_response(np.array([[0.5, 0.5]]), 3)
        >>> response.frequencies, response.magnitude.round(3)
        (array([0.  , 0.25, 0.5 ]), array([[1.   , 0.707, 0.   ]]))
    """
    num_taps = taps.shape[1]
    if num_taps < 1:
        raise ValueError(f"taps must have at least one tap, got shape {taps.shape}")
    if num_frequencies is None:
        num_frequencies = max(_FEWEST_POINTS, 2 ** int(np.ceil(np.log2(2 * num_taps)))) + 1
    length = 2 * (num_frequencies - 1)
    if length < num_taps:
        raise ValueError(
            f"num_frequencies must be >= {num_taps // 2 + 1} for {num_taps} taps, "
            f"got {num_frequencies}"
        )
    return FrequencyResponse(
        frequencies=np.arange(num_frequencies) / length,
        magnitude=np.abs(np.fft.rfft(taps.astype(np.float64), length)),
    )


def magnitude_at(
    taps: Float[np.ndarray, "N K"], frequencies: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "N F"]:
    """|H(f)| of kernels at any frequencies, such as evenly spaced octaves.

    Args:
        taps: (N, K), real.
        frequencies: (F,), cycles per token.

    Returns:
        (N, F), linear.

    Example:
        >>> magnitude_at(np.array([[0.5, 0.5]]), np.array([0.0, 0.25, 0.5])).round(3)
        array([[1.   , 0.707, 0.   ]])
    """
    phase = -2j * np.pi * np.outer(np.arange(taps.shape[1]), frequencies)
    magnitude: Float[np.ndarray, "N F"] = np.abs(taps @ np.exp(phase))
    return magnitude


def centre_and_bandwidth(
    response: FrequencyResponse,
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Where each kernel's power lies on the frequency axis, and how widely it is spread.

        f_c = ∫ f |H|² df / ∫ |H|² df,   b = √( ∫ (f − f_c)² |H|² df / ∫ |H|² df )

    The centre frequency is the spectral centroid, not the peak: it moves smoothly while a kernel
    is learned, and is defined for kernels without a peak.

    Args:
        response: of N kernels.

    Returns:
        f_c and b, (N,) each, cycles per token; zeros for a kernel that is zero.

    Example:
        >>> flat = frequency_response(np.array([[1.0, 0.0]]))
        >>> centre, bandwidth = centre_and_bandwidth(flat)
        >>> float(centre[0]), round(float(bandwidth[0]), 3)
        (0.25, 0.144)
    """
    frequencies, power = response.frequencies, response.magnitude**2
    weight = np.ones_like(frequencies)
    weight[[0, -1]] = 0.5  # the trapezoidal rule
    power = power * weight
    total = power.sum(axis=1)
    total = np.where(total > 0, total, 1.0)
    centre = power @ frequencies / total
    variance = (power * (frequencies - centre[:, None]) ** 2).sum(axis=1) / total
    return centre, np.sqrt(variance)


def haar_taps(levels: Int[np.ndarray, " N"], num_taps: int) -> Float[np.ndarray, "N K"]:
    """Haar kernels: averages over 2^level tokens.

    Args:
        levels: (N,), 0 for the current token alone.
        num_taps: K; longer averages are not cut but keep K taps at gain 1.

    Returns:
        (N, K), each row with sum 1.

    Example:
        >>> haar_taps(np.array([0, 1, 2]), 3).round(2)
        array([[1.  , 0.  , 0.  ],
               [0.5 , 0.5 , 0.  ],
               [0.33, 0.33, 0.33]])
    """
    windows = np.minimum(2 ** levels.astype(np.int64), num_taps)
    taps: Float[np.ndarray, "N K"] = (np.arange(num_taps) < windows[:, None]) / windows[:, None]
    return taps
