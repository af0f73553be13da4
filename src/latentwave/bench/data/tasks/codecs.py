"""Tokens of the tasks: ListOps symbols, pixels, pairs of texts, samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.json_files import read_json
from latentwave.bench.data.tasks.listops import SYMBOLS
from latentwave.errors import UserError

_RATE_FILE = "samples.json"


class TaskCodec(Codec):
    """A fixed vocabulary that models classify in and do not generate."""

    decodes_to = "task"
    suffix = ""

    def encode_prompt(self, prompt: str) -> NoReturn:
        """Refused.

        Raises:
            UserError: always.
        """
        raise UserError(f"a model of {self.unit}s classifies, it does not go on with a prompt")

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> NoReturn:
        """Refused.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.unit}s are classified, not written into files such as {path}")


class ListOpsCodec(TaskCodec):
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


class PairCodec(TaskCodec):
    """Two texts as their bytes, with a separator between them.

    Example:
        >>> PairCodec().encode((b"a", b"b")).tolist()
        [97, 256, 98]
    """

    kind = "byte-pairs"
    unit = "byte"
    separator = 256
    vocab_size = 257
    dtype = "uint16"

    def encode(self, piece: tuple[bytes, bytes]) -> NDArray[np.uint16]:
        """The bytes of both and the separator: (bytes + 1,), uint16."""
        first, second = (np.frombuffer(text, dtype=np.uint8) for text in piece)
        return np.concatenate([first, [self.separator], second]).astype(np.uint16)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """All but the separators."""
        return {self.unit: int((np.asarray(tokens) != self.separator).sum())}


class PixelCodec(TaskCodec):
    """One token per pixel of a grey image, row by row."""

    kind = "pixels"
    unit = "pixel"
    vocab_size = 256
    dtype = "uint8"

    def encode(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels themselves: (pixels,), uint8."""
        return piece


class PcmCodec(TaskCodec):
    """Sound as it is: one 16-bit sample per token, without a vocabulary.

    Args:
        sample_rate: in Hz.

    Example:
        >>> PcmCodec(8000).encode(np.array([-1.0, 0.5], dtype=np.float32)).tolist()
        [-32767, 16384]
    """

    kind = "samples"
    unit = "sample"
    extra = "audio"
    vocab_size = 0
    dtype = "int16"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def encode(self, piece: NDArray[np.float32]) -> NDArray[np.int16]:
        """Samples in [−1, 1] as (samples,), int16."""
        return np.round(piece * 32767).astype(np.int16)

    def save(self, folder: Path) -> None:
        """Write the sample rate."""
        text = f'{{"sample_rate": {self.sample_rate}}}\n'
        (folder / _RATE_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> PcmCodec:
        """Read the sample rate."""
        rate: _Rate = read_json(folder / _RATE_FILE, "prepare the corpus again", _Rate)
        return cls(rate.sample_rate)


@dataclasses.dataclass(frozen=True)
class _Rate:
    sample_rate: int


_TOKENS = {symbol: token for token, symbol in enumerate(SYMBOLS)}
