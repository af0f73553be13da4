"""The codecs between samples and 8-bit tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from latentwave.bench.data.audio.files import read_audio, soundfile
from latentwave.bench.data.audio.quantise import (
    NUM_LEVELS,
    decode_linear,
    decode_mu_law,
    encode_linear,
    encode_mu_law,
)
from latentwave.bench.data.codec import Codec
from latentwave.bench.data.media import MediaCodec, UnusableFileError
from latentwave.errors import UserError

FILE = "audio.json"


class SampleCodec(MediaCodec):
    """One token of 8 bits per sample.

    Args:
        sample_rate: in hertz.
    """

    unit: ClassVar[str] = "sample"
    suffix: ClassVar[str] = ".wav"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = self.tokens_per_second = sample_rate
        self.vocab_size = NUM_LEVELS
        self.dtype = "uint8"

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """The samples of tokens, in [−1, 1]."""
        raise NotImplementedError

    def num_units(self, piece: Float32[np.ndarray, " T"]) -> int:
        """Samples."""
        return len(piece)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """One sample for each token."""
        return {self.unit: len(tokens)}

    def begin(self) -> UInt8[np.ndarray, " T"]:
        """One sample of silence."""
        return self.encode(np.zeros(1, dtype=np.float32))

    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens sound."""
        return len(tokens) / self.sample_rate

    def encode_prompt(self, prompt: str) -> UInt8[np.ndarray, " T"]:
        """The tokens of an audio file.

        Raises:
            UserError: if it is missing or cannot be used.
        """
        path = Path(prompt).expanduser()
        if not path.is_file():
            raise UserError(f"the prompt of this model is an audio file; there is none at {path}")
        try:
            blocks = [self.encode(block) for block in read_audio(path, self.sample_rate)]
        except UnusableFileError as fault:
            raise UserError(f"the prompt {path} {fault}") from fault
        return np.concatenate(blocks)

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write 16-bit PCM, one channel, in the format that the path's suffix names.

        Raises:
            UserError: if the suffix names no format for that.
        """
        package = soundfile()
        try:
            package.write(path, self.decode(tokens), self.sample_rate, subtype="PCM_16")
        except (TypeError, ValueError, package.LibsndfileError) as error:
            raise UserError(f"cannot write {path} ({error}): name a .wav or .flac file") from error

    def same_tokens(self, other: Codec) -> bool:
        """Whether a token means the same to both: the rate belongs to it."""
        return isinstance(other, SampleCodec) and (self.kind, self.sample_rate) == (
            other.kind,
            other.sample_rate,
        )

    def save(self, folder: Path) -> None:
        """Write `audio.json`."""
        text = json.dumps({"sample_rate": self.sample_rate})
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SampleCodec:
        """Read what `save` wrote."""
        return cls(int(json.loads((folder / FILE).read_text(encoding="utf-8"))["sample_rate"]))


class MuLaw(SampleCodec):
    """One token per sample, its amplitude compressed by the mu-law to 8 bits.

    Args:
        sample_rate: in hertz.
    """

    kind: ClassVar[str] = "mu-law"

    def encode(self, piece: Float32[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
        """The tokens of samples in [−1, 1]."""
        return encode_mu_law(piece)

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """The samples of tokens, in [−1, 1]."""
        return decode_mu_law(tokens)


class Linear8Bit(SampleCodec):
    """One token per sample: unsigned 8-bit PCM.

    Args:
        sample_rate: in hertz.
    """

    kind: ClassVar[str] = "linear-8bit"

    def encode(self, piece: Float32[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
        """The tokens of samples in [−1, 1]."""
        return encode_linear(piece)

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """The samples of tokens, in [−1, 1]."""
        return decode_linear(tokens)
