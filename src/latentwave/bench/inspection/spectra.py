"""Frequency responses, centre frequencies and bandwidths of FIR kernels."""

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import trapezoid
from scipy.signal import freqz

_FEWEST_POINTS = 1024


def magnitude_at(
    taps: Float[np.ndarray, "N K"], frequencies: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "N F"]:
    """The magnitude responses |H(f)| of real kernels, at frequencies in cycles per token.

    Example:
        >>> magnitude_at(np.array([[0.5, 0.5], [0.5, -0.5]]), np.array([0.0, 0.25, 0.5])).round(3)
        array([[1.   , 0.707, 0.   ],
               [0.   , 0.707, 1.   ]])
    """
    _, response = freqz(taps.T[..., None], worN=2 * np.pi * frequencies)
    magnitude: Float[np.ndarray, "N F"] = np.abs(response)
    return magnitude


def centre_and_bandwidth(
    taps: Float[np.ndarray, "N K"],
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """The spectral centroid and bandwidth of each kernel.

        f_c = ∫ f |H|² df / ∫ |H|² df,   b = √( ∫ (f − f_c)² |H|² df / ∫ |H|² df )

    Unlike a peak, the centroid moves smoothly while a kernel is learned.

    Returns:
        f_c and b in cycles per token; zeros for a kernel that is zero.

    Example:
        >>> centre, bandwidth = centre_and_bandwidth(np.array([[1.0, 0.0]]))
        >>> float(centre[0].round(3)), float(bandwidth[0].round(3))
        (0.25, 0.144)
    """
    # At least four points for each that K taps determine.
    size = max(_FEWEST_POINTS, 2 ** int(np.ceil(np.log2(4 * taps.shape[1]))))
    frequencies = np.fft.rfftfreq(size)
    power = np.abs(np.fft.rfft(taps.astype(np.float64), size)) ** 2
    total = trapezoid(power, axis=1)
    total = np.where(total > 0, total, 1.0)
    centre = trapezoid(power * frequencies, axis=1) / total
    variance = trapezoid(power * (frequencies - centre[:, None]) ** 2, axis=1) / total
    return centre, np.sqrt(variance)


def haar_taps(levels: Int[np.ndarray, " N"], num_taps: int) -> Float[np.ndarray, "N K"]:
    """Haar kernels of gain 1: averages over 2^level tokens, over K taps if that is longer.

    Example:
        >>> haar_taps(np.array([0, 1, 2]), 3).round(2)
        array([[1.  , 0.  , 0.  ],
               [0.5 , 0.5 , 0.  ],
               [0.33, 0.33, 0.33]])
    """
    windows = np.minimum(2 ** levels.astype(np.int64), num_taps)
    return (np.arange(num_taps) < windows[:, None]) / windows[:, None]


def nearest_level(taps: Float[np.ndarray, "N K"]) -> Int[np.ndarray, " N"]:
    """The level of the Haar kernel with about the same centre of mass as each kernel.

        level = round( log2( 1 + 2 · Σ_k k |h(k)| / Σ_k |h(k)| ) )

    as an average over w tokens has its centre of mass at (w − 1) / 2.

    Example:
        >>> nearest_level(np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]))
        array([2, 0])
    """
    size = np.abs(taps)
    total = size.sum(axis=1)
    centre = size @ np.arange(taps.shape[1]) / np.where(total > 0, total, 1.0)
    levels: Int[np.ndarray, " N"] = np.round(np.log2(1 + 2 * centre)).astype(np.int64)
    return levels
