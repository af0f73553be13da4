"""Codecs for tokens that are only classified: symbols, pixels and raw samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.tasks.listops import SYMBOLS


class ListOpsCodec(Codec):
    """One token per symbol of an expression.

    Example:
        >>> ListOpsCodec().encode(["[MAX", "3", "7", "]"]).tolist()
        [11, 3, 7, 14]
    """

    kind = "listops"
    unit = "symbol"
    vocab_size = len(SYMBOLS)
    dtype = "uint8"

    def encode(self, piece: list[str]) -> NDArray[np.uint8]:
        """The tokens of symbols: (symbols,), uint8."""
        return np.array([_TOKENS[symbol] for symbol in piece], dtype=np.uint8)

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """Their symbols."""
        return [SYMBOLS[token] for token in tokens.tolist()]


class PixelCodec(Codec):
    """One token per pixel of a grey image, row by row."""

    kind = "pixels"
    unit = "pixel"
    vocab_size = 256
    dtype = "uint8"

    def encode(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels themselves: (pixels,), uint8."""
        return piece


class PcmCodec(Codec):
    """Raw sound at a sample rate in Hz: one 16-bit sample per token, without a vocabulary.

    Example:
        >>> PcmCodec(8000).encode(np.array([-1.0, 0.5], dtype=np.float32)).tolist()
        [-32767, 16384]
    """

    kind = "samples"
    unit = "sample"
    is_sound = True
    vocab_size = 0
    dtype = "int16"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate: int = sample_rate

    def encode(self, piece: NDArray[np.float32]) -> NDArray[np.int16]:
        """Samples in [−1, 1] as (samples,), int16."""
        return np.round(piece * 32767).astype(np.int16)


CODECS: tuple[type[Codec], ...] = (ListOpsCodec, PixelCodec, PcmCodec)
_TOKENS = {symbol: token for token, symbol in enumerate(SYMBOLS)}
