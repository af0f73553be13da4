"""Orthogonal wavelet families: their filters, and the taps of their cascades."""

import difflib

import numpy as np
import numpy.typing as npt
import pywt

FloatArray = npt.NDArray[np.float64]


def orthogonal_lowpass(wavelet: str) -> FloatArray:
    """The decomposition low-pass filter of a wavelet, with gain 1 at zero frequency.

        g(n) = dec_lo(n) / Σ_m dec_lo(m)

    Args:
        wavelet: the PyWavelets name of an orthogonal wavelet: "haar", "db2", "sym4", "coif1" …

    Returns:
        (F,), float64; g(0) multiplies the current token.

    Raises:
        ValueError: for an unknown name, or a wavelet that is not orthogonal.

    Example:
        >>> orthogonal_lowpass("haar")
        array([0.5, 0.5])
    """
    name = str(wavelet).lower()
    discrete = pywt.wavelist(kind="discrete")
    if name not in discrete:
        near = difflib.get_close_matches(name, discrete, n=3)
        hint = f", did you mean {' or '.join(map(repr, near))}?" if near else ";"
        raise ValueError(
            f"there is no discrete wavelet {wavelet!r}{hint} the orthogonal families are haar, "
            "db1 … db38, sym2 … sym20, coif1 … coif17 and dmey"
        )
    filters = pywt.Wavelet(name)
    if not filters.orthogonal:
        raise ValueError(
            f"wavelet must be orthogonal, got {wavelet!r} ({filters.family_name}): choose one of "
            "haar, db, sym, coif or dmey"
        )
    lowpass = np.asarray(filters.dec_lo, dtype=np.float64)
    gain_one: FloatArray = lowpass / lowpass.sum()
    return gain_one


def cascade_length(filter_length: int, level: int) -> int:
    """The number of taps of the level-k cascade as one filter: (F − 1)(2^k − 1) + 1."""
    return int((filter_length - 1) * (2**level - 1) + 1)


def deepest_level(filter_length: int, num_taps: int) -> int:
    """The highest level whose cascade has at most `num_taps` taps; 0 if there is none.

    Example:
        >>> deepest_level(2, 512), deepest_level(4, 512)
        (9, 7)
    """
    return ((num_taps - 1) // (filter_length - 1) + 1).bit_length() - 1


def cascade_taps(wavelet: str, level: int) -> FloatArray:
    """The causal level-k approximation of a wavelet as one FIR filter.

        h_k(t) = Σ_n g(n) · h_{k−1}(t − 2^{k−1} n),   h_0(t) = [t = 0]

    Args:
        wavelet: the PyWavelets name of an orthogonal wavelet.
        level: k >= 1.

    Returns:
        ((F − 1)(2^k − 1) + 1,), float64, tap 0 on the current token; the taps sum to 1.

    Raises:
        ValueError: for an invalid wavelet (see `orthogonal_lowpass`), or level < 1.

    Reference: the algorithme à trous (Holschneider et al., 1989).

    Example:
        >>> cascade_taps("haar", 2)
        array([0.25, 0.25, 0.25, 0.25])
    """
    if level < 1:
        raise ValueError(f"level must be >= 1, got {level}")
    lowpass = orthogonal_lowpass(wavelet)
    taps = np.ones(1)
    for k in range(level):
        longer = np.zeros(len(taps) + (len(lowpass) - 1) * 2**k)
        for n, gain in enumerate(lowpass):  # np.convolve would round differently
            longer[n * 2**k : n * 2**k + len(taps)] += gain * taps
        taps = longer
    return taps
