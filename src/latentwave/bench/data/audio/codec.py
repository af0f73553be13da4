"""Codecs between samples and 8-bit tokens: mu-law and linear."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray

from latentwave.bench.data.audio.files import read_audio, soundfile
from latentwave.bench.data.codec import MediaCodec
from latentwave.errors import UserError

_MU = 255.0


class SampleCodec(MediaCodec):
    """One token of 8 bits per sample, at a sample rate in hertz."""

    unit = "sample"
    decodes_to = "sound"
    is_sound = True
    a_file = "an audio file"
    suffixes = (".wav", ".flac")
    vocab_size = 256
    dtype = "uint8"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate: int = sample_rate

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """The samples of tokens, in [−1, 1]."""
        raise NotImplementedError

    def begin(self) -> UInt8[np.ndarray, " T"]:
        """One sample of silence."""
        return self.encode(np.zeros(1, dtype=np.float32))

    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens last."""
        return len(tokens) / self.sample_rate

    def encode_file(self, path: Path, lost: list[str]) -> UInt8[np.ndarray, " T"]:
        """The tokens of an audio file."""
        return np.concatenate([*map(self.encode, read_audio(path, self.sample_rate, lost))])

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write 16-bit PCM, one channel, in the format of the path's suffix."""
        package = soundfile()
        try:
            package.write(path, self.decode(tokens), self.sample_rate, subtype="PCM_16")
        except (TypeError, ValueError, package.LibsndfileError) as error:
            raise UserError(f"cannot write {path} ({error}): name a .wav or .flac file") from error


class MuLaw(SampleCodec):
    """The amplitude, compressed by the mu-law and rounded to 256 levels.

        f(x) = sign(x) · ln(1 + µ|x|) / ln(1 + µ),   token = round(µ · (f(x) + 1) / 2),   µ = 255

    Reference: the 8-bit quantiser of WaveNet (van den Oord et al., 2016). SaShiMi (Goel et al.,
    2022) uses the same curve with 256 equal cells, half a cell away from these levels, and first
    stretches every training window to the full range; here a file keeps its level.

    Example:
        >>> MuLaw(16000).encode(np.array([-1.0, -0.01, 0.0, 0.01, 1.0])).tolist()
        [0, 98, 128, 157, 255]
    """

    kind = "mu-law"

    def encode(self, piece: Float[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
        """The tokens of samples; those outside [−1, 1] are clipped. Silence is 128."""
        x = np.clip(np.asarray(piece, dtype=np.float64), -1.0, 1.0)
        compressed = np.copysign(np.log1p(_MU * np.abs(x)) / np.log1p(_MU), x)
        return np.asarray(np.floor((compressed + 1.0) / 2.0 * _MU + 0.5), dtype=np.uint8)

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """The centre of each level, x = sign(f) · ((1 + µ)^|f| − 1) / µ with f = 2·token/µ − 1."""
        compressed = 2.0 * np.asarray(tokens, dtype=np.float64) / _MU - 1.0
        magnitude = np.expm1(np.abs(compressed) * np.log1p(_MU)) / _MU
        return np.asarray(np.copysign(magnitude, compressed), dtype=np.float32)


class Linear8Bit(SampleCodec):
    """The bytes of an 8-bit WAV file: token = round(128·x) + 128, at most 255."""

    kind = "linear-8bit"

    def encode(self, piece: Float[np.ndarray, " T"]) -> UInt8[np.ndarray, " T"]:
        """The tokens of samples; those outside [−1, 1] are clipped. Silence is 128."""
        levels = np.floor(np.asarray(piece, dtype=np.float64) * 128.0 + 128.5)
        return np.asarray(np.clip(levels, 0.0, 255.0), dtype=np.uint8)

    def decode(self, tokens: NDArray[Any]) -> Float32[np.ndarray, " T"]:
        """Samples (token − 128) / 128; those of an 8-bit file come back exactly."""
        return (np.asarray(tokens, dtype=np.float32) - np.float32(128.0)) / np.float32(128.0)


CODECS: tuple[type[SampleCodec], ...] = (MuLaw, Linear8Bit)
