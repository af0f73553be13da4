"""Audio files: reading them in blocks, and what can be wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from latentwave.bench.data.audio.resampling import resample
from latentwave.bench.data.media import UnusableFileError
from latentwave.errors import UserError

# Of the formats that libsndfile reads, those that hold recordings.
SUFFIXES = frozenset(
    f".{name}" for name in ("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "oga", "ogg", "opus")
) | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
BLOCK_FRAMES = 1 << 16
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
SILENCE = 2.0**-15  # one step of 16 bits
FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3
OVERSHOOT = 10 ** (1 / 20)  # 1 dB: lossy codecs go that far above the loudest sample


@dataclasses.dataclass
class Level:
    """What the samples of a file, as they were read so far, say about its level.

    Attributes:
        num_frames: samples per channel.
        num_values: samples of all channels.
        num_full_scale: of them, those at or above full scale.
        peak: the largest magnitude.
    """

    num_frames: int = 0
    num_values: int = 0
    num_full_scale: int = 0
    peak: float = 0.0

    def add(self, frames: Float32[np.ndarray, "T channels"]) -> None:
        """Take in a block."""
        magnitude = np.abs(frames)
        self.num_frames += len(frames)
        self.num_values += magnitude.size
        self.num_full_scale += int(np.count_nonzero(magnitude >= FULL_SCALE))
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))

    @property
    def is_clipped(self) -> bool:
        """Whether more samples stand at full scale than a sound recording has."""
        return self.num_full_scale > CLIPPED_SHARE * self.num_values

    @property
    def gain(self) -> float:
        """What brings the file into [−1, 1]: 1, unless it goes beyond a codec's overshoot."""
        return 1.0 if self.peak <= OVERSHOOT else 1.0 / self.peak


def soundfile() -> Any:
    """The package that reads and writes audio files.

    Raises:
        UserError: if it, or the library under it, is not installed.
    """
    try:
        import soundfile as package
    except (ImportError, OSError) as error:  # OSError: libsndfile is missing
        raise UserError(
            f"audio files cannot be read without soundfile ({error}): "
            "pip install 'latentwave[audio]'"
        ) from error
    return package


def read_audio(
    path: Path, sample_rate: int, *, gain: float = 1.0, level: Level | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Read a file as one channel at one rate, in blocks.

    Channels are averaged, then the rate is changed. Memory does not grow with the file.

    Args:
        path: any file that soundfile reads.
        sample_rate: wanted, in hertz.
        gain: factor of all samples.
        level: takes in what was read, before the gain.

    Yields:
        Samples, clipped to [−1, 1].

    Raises:
        UnusableFileError: if the file is damaged, empty, or of an impossible rate.
        UserError: if soundfile is not installed.
    """
    level = Level() if level is None else level
    package = soundfile()
    try:
        with package.SoundFile(path) as file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise UnusableFileError(f"has an impossible sample rate of {file.samplerate} Hz")
            channel = _one_channel(file, level)
            for block in resample(channel, file.samplerate, sample_rate):
                yield np.clip(block * np.float32(gain), -1.0, 1.0)
    except package.LibsndfileError as error:
        raise UnusableFileError(f"is damaged or no audio ({error.error_string})") from error
    except OSError as error:
        raise UnusableFileError(f"cannot be read ({error.strerror or error})") from error
    if not level.num_frames:
        raise UnusableFileError("holds no samples")


def _one_channel(file: Any, level: Level) -> Iterator[Float32[np.ndarray, " _"]]:
    promised = file.frames
    while True:
        frames = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(frames):
            break
        if not np.isfinite(frames).all():
            raise UnusableFileError("holds values that are no numbers")
        level.add(frames)
        yield frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)
    if 0 < promised < 1 << 62 and level.num_frames < promised:
        raise UnusableFileError(
            f"is damaged: {level.num_frames:,} of {promised:,} samples can be decoded"
        )
