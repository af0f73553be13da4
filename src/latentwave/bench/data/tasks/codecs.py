"""Tokens of the tasks: ListOps symbols, pixels, pairs of texts, samples."""

from __future__ import annotations

import json
import math
import wave
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.tasks.listops import SYMBOLS
from latentwave.errors import UserError


class TaskCodec(Codec):
    """What the fixed vocabularies of the tasks share: nothing to save, one unit per token."""

    def num_units(self, piece: Any) -> int:
        """Its length."""
        return len(piece)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """One per token."""
        return {self.unit: len(tokens)}

    def save(self, folder: Path) -> None:
        """Nothing to write."""

    @classmethod
    def load(cls, folder: Path) -> TaskCodec:
        """Nothing to read."""
        return cls()

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """Refused: models of these tasks classify.

        Raises:
            UserError: always.
        """
        raise UserError(f"a model of {self.unit}s classifies, it does not go on with a prompt")


class ListOpsCodec(TaskCodec):
    """One token per symbol of an expression.

    Example:
        >>> ListOpsCodec().encode(["[MAX", "3", "7", "]"]).tolist()
        [11, 3, 7, 14]
    """

    kind: ClassVar[str] = "listops"
    unit: ClassVar[str] = "symbol"
    suffix: ClassVar[str] = ".txt"
    vocab_size = len(SYMBOLS)
    dtype = "uint8"
    _TOKENS: ClassVar[dict[str, int]] = {symbol: token for token, symbol in enumerate(SYMBOLS)}

    def encode(self, piece: list[str]) -> NDArray[np.uint8]:
        """The tokens of symbols: (symbols,), uint8."""
        return np.array([self._TOKENS[symbol] for symbol in piece], dtype=np.uint8)

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write the symbols with spaces between them."""
        path.write_text(" ".join(SYMBOLS[token] for token in tokens) + "\n", encoding="utf-8")


class PairCodec(TaskCodec):
    """Two texts as their bytes, with a separator between them.

    Attributes:
        separator: the token between the two.

    Example:
        >>> PairCodec().encode((b"a", b"b")).tolist()
        [97, 256, 98]
    """

    kind: ClassVar[str] = "byte-pairs"
    unit: ClassVar[str] = "byte"
    suffix: ClassVar[str] = ".txt"
    separator: ClassVar[int] = 256
    vocab_size = 257
    dtype = "uint16"

    def encode(self, piece: tuple[bytes, bytes]) -> NDArray[np.uint16]:
        """The bytes of both and the separator: (bytes + 1,), uint16."""
        first, second = (np.frombuffer(text, dtype=np.uint8) for text in piece)
        return np.concatenate([first, [self.separator], second]).astype(np.uint16)

    def num_units(self, piece: tuple[bytes, bytes]) -> int:
        """The bytes of both."""
        return len(piece[0]) + len(piece[1])

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """All but the separators."""
        return {self.unit: int((np.asarray(tokens) != self.separator).sum())}

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write the bytes, an empty line for the separator."""
        parts = (
            b"\n\n" if t == self.separator else bytes([t]) for t in np.asarray(tokens).tolist()
        )
        path.write_bytes(b"".join(parts))


class PixelCodec(TaskCodec):
    """One token per pixel of a grey image, row by row.

    Example:
        >>> PixelCodec().encode(np.array([0, 255], dtype=np.uint8)).tolist()
        [0, 255]
    """

    kind: ClassVar[str] = "pixels"
    unit: ClassVar[str] = "pixel"
    suffix: ClassVar[str] = ".pgm"
    vocab_size = 256
    dtype = "uint8"

    def encode(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels themselves: (pixels,), uint8."""
        return piece

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write a grey image, square where the number of pixels is."""
        side = math.isqrt(len(tokens))
        width = side if side * side == len(tokens) else len(tokens)
        header = f"P5\n{width} {len(tokens) // max(width, 1)}\n255\n".encode()
        path.write_bytes(header + tokens.astype(np.uint8).tobytes())


class PcmCodec(TaskCodec):
    """Sound as it is: one 16-bit sample per token, without a vocabulary.

    Attributes:
        sample_rate: in Hz.

    Example:
        >>> PcmCodec(8000).encode(np.array([-1.0, 0.5], dtype=np.float32)).tolist()
        [-32767, 16384]
    """

    kind: ClassVar[str] = "samples"
    unit: ClassVar[str] = "sample"
    suffix: ClassVar[str] = ".wav"
    vocab_size = 0
    dtype = "int16"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def encode(self, piece: NDArray[np.float32]) -> NDArray[np.int16]:
        """Samples in [−1, 1] as (samples,), int16."""
        return np.round(piece * 32767).astype(np.int16)

    def save(self, folder: Path) -> None:
        """Write the sample rate."""
        text = json.dumps({"sample_rate": self.sample_rate}) + "\n"
        (folder / "samples.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> PcmCodec:
        """Read the sample rate."""
        values = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
        return cls(int(values["sample_rate"]))

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(tokens.astype("<i2").tobytes())
