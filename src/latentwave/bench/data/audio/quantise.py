"""Samples to 256 tokens and back: linear, or mu-law."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

NUM_LEVELS = 256
_MU = 255.0


def encode_linear(samples: Float[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
    """Round to unsigned 8-bit PCM.

        token = round(128·x) + 128, at most 255

    It is the number that an 8-bit WAV file stores, so such a file's tokens are its own bytes.

    Args:
        samples: in [−1, 1]; values outside are clipped.

    Returns:
        Tokens 0 … 255; silence is 128.

    Example:
        >>> encode_linear(np.array([-1.0, 0.0, 0.5, 1.0])).tolist()
        [0, 128, 192, 255]
    """
    levels = np.floor(np.asarray(samples, dtype=np.float64) * 128.0 + 128.5)
    tokens: NDArray[np.uint8] = np.clip(levels, 0.0, 255.0).astype(np.uint8)
    return tokens


def decode_linear(tokens: NDArray[Any]) -> Float[np.ndarray, " T"]:
    """The inverse of `encode_linear`: x = (token − 128) / 128.

    Returns:
        Samples in [−1, 127/128], float32; those of an 8-bit file come back exactly.
    """
    return (np.asarray(tokens, dtype=np.float32) - np.float32(128.0)) / np.float32(128.0)


def encode_mu_law(samples: Float[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
    """Compress the amplitude by the mu-law and round to 256 levels.

        f(x) = sign(x) · ln(1 + µ|x|) / ln(1 + µ),   token = round(µ · (f(x) + 1) / 2),   µ = 255

    Reference: the 8-bit quantiser of WaveNet (van den Oord et al., 2016). SaShiMi (Goel et al.,
    2022) has the same curve with 256 equal cells instead of rounding to 256 levels, half a cell
    apart, and stretches every training window to the full range first; here a file keeps its
    level.

    Args:
        samples: in [−1, 1]; values outside are clipped.

    Returns:
        Tokens 0 … 255; silence is 128.

    Example:
        >>> encode_mu_law(np.array([-1.0, -0.01, 0.0, 0.01, 1.0])).tolist()
        [0, 98, 128, 157, 255]
    """
    x = np.clip(np.asarray(samples, dtype=np.float64), -1.0, 1.0)
    compressed = np.copysign(np.log1p(_MU * np.abs(x)) / np.log1p(_MU), x)
    tokens: NDArray[np.uint8] = np.floor((compressed + 1.0) / 2.0 * _MU + 0.5).astype(np.uint8)
    return tokens


def decode_mu_law(tokens: NDArray[Any]) -> Float[np.ndarray, " T"]:
    """The inverse of `encode_mu_law` at the centre of each level.

        f = 2·token/µ − 1,   x = sign(f) · ((1 + µ)^|f| − 1) / µ

    Returns:
        Samples in [−1, 1], float32. Encoding them again gives the same tokens.
    """
    compressed = 2.0 * np.asarray(tokens, dtype=np.float64) / _MU - 1.0
    magnitude = np.expm1(np.abs(compressed) * np.log1p(_MU)) / _MU
    samples: NDArray[np.float32] = np.copysign(magnitude, compressed).astype(np.float32)
    return samples
