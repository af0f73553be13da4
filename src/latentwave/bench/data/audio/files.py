"""Audio files: reading them in blocks, and what can be wrong with them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.config import HIGHEST_RATE, LOWEST_RATE
from latentwave.bench.data.corpus import Document, FileCorpus, Found, Label, UnusableFileError

# Of the formats that libsndfile reads, those that hold recordings.
SUFFIXES = frozenset(
    f".{name}" for name in ("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "oga", "ogg", "opus")
) | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
BLOCK_FRAMES = 1 << 16
SILENCE = 2.0**-15  # one step of 16 bits
FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3
_UNKNOWN_FRAMES = 1 << 36  # what libsndfile takes an unknown length for, and more


@dataclasses.dataclass
class Reading:
    """What was noted while a file was read."""

    num_frames: int = 0  # samples that were read, all channels averaged
    num_full_scale: int = 0  # of them, those at or above full scale in any channel
    peak: float = 0.0  # the largest magnitude of the average
    lost: list[str] = dataclasses.field(default_factory=list)  # words for a missing end


def soundfile() -> Any:
    """The package that reads and writes audio files."""
    return optional_package("soundfile", "audio", "sound")


def read_audio(
    source: Path | io.BufferedIOBase, sample_rate: int, reading: Reading | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Read a file as one channel at one rate, in blocks, as far as it can be decoded.

    Channels are averaged, then the rate in hertz is changed. Blocks are (samples,), float32,
    clipped to [−1, 1]; memory does not grow with the file. `reading` takes notes.

    Raises:
        UnusableFileError: if it holds no sound, no numbers, or has an impossible rate.
    """
    reading = Reading() if reading is None else reading
    package = soundfile()
    try:
        with _opened(source) as file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise UnusableFileError(f"has an impossible sample rate of {file.samplerate} Hz")
            blocks = _one_channel(file, reading)
            for block in resample(blocks, file.samplerate, sample_rate):
                yield np.clip(block, -1.0, 1.0)
    except package.LibsndfileError as error:
        raise UnusableFileError(f"is damaged or no audio ({error.error_string})") from error
    except OSError as error:
        raise UnusableFileError(f"cannot be read ({error.strerror or error})") from error
    if not reading.num_frames:
        raise UnusableFileError("holds no samples")


@contextlib.contextmanager
def _opened(source: Path | io.BufferedIOBase) -> Iterator[Any]:
    with soundfile().SoundFile(source) as file:
        if file.format != "MP3":
            yield file
            return
    # Without a header that says it, libsndfile guesses the length of an MP3 from its first
    # frames, and reads no further. A file that seems longer makes the guess too large.
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        yield stack.enter_context(soundfile().SoundFile(_SeeminglyLong(raw)))


class _SeeminglyLong(io.RawIOBase):
    """A file that claims to be 64 times as long; what lies behind its end is empty."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size: int = 64 * file.seek(0, os.SEEK_END)
        self._place: int = file.seek(0)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = (0, self._place, self._size)[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._place)
        content = self._file.read(len(buffer))
        if self._place >= self._size - 4096:  # the tag at the end, which must be there to be none
            content = bytes(max(0, min(len(buffer), self._size - self._place)))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


def _one_channel(file: Any, reading: Reading) -> Iterator[Float32[np.ndarray, " _"]]:
    error_type = soundfile().LibsndfileError
    fault = ""
    block = np.empty((BLOCK_FRAMES, file.channels), dtype=np.float32)
    while not fault:
        block.fill(np.nan)
        try:
            frames = file.read(out=block)
        except error_type as error:
            # What was decoded before the fault is there all the same.
            missing = np.isnan(block).any(axis=1)
            frames = block[: int(missing.argmax()) if missing.any() else len(block)]
            fault = error.error_string
            if not reading.num_frames + len(frames):
                raise
        if not len(frames):
            break
        if not np.isfinite(frames).all():
            raise UnusableFileError("holds values that are no numbers")
        mixed = frames.mean(axis=1, dtype=np.float32)
        reading.num_frames += len(mixed)
        reading.num_full_scale += int((np.abs(frames) >= FULL_SCALE).any(axis=1).sum())
        reading.peak = max(reading.peak, float(np.abs(mixed).max(initial=0.0)))
        yield mixed
    seconds = reading.num_frames / file.samplerate
    if reading.num_frames < file.frames < _UNKNOWN_FRAMES and file.format != "MP3":
        num_lost = file.frames - reading.num_frames
        reading.lost.append(
            f"{num_lost:,} of {file.frames:,} samples, after {seconds:.1f} s, cannot be decoded"
        )
    elif fault and file.frames < _UNKNOWN_FRAMES:
        reading.lost.append(f"it breaks off after {seconds:.1f} s ({fault})")


def resample(
    blocks: Iterable[Float32[np.ndarray, " _"]], rate: int, new_rate: int
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Resample a signal that comes in pieces, as soxr does for the whole: N · new_rate / rate."""
    if rate == new_rate:
        yield from blocks
        return
    soxr = optional_package("soxr", "audio", f"sound of {rate} Hz at {new_rate} Hz")
    stream = soxr.ResampleStream(rate, new_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


class AudioFiles(FileCorpus):
    """Recordings, one document each: one channel of samples in [−1, 1] at one rate in hertz.

    Clipped files are kept, and counted in a warning.
    """

    def __init__(
        self,
        found: Found,
        sample_rate: int,
        labels: Mapping[str, Label] | None = None,
        class_names: Collection[str] = (),
    ) -> None:
        super().__init__(found, labels, class_names)
        self.sample_rate = sample_rate
        self._clipped: list[str] = []

    def documents(self) -> Iterator[Document]:
        """One per file."""
        self._clipped = []
        yield from super().documents()
        if self._clipped:
            warnings.warn(
                f"{len(self._clipped)} of {len(self.files)} files in {self.root} are clipped, or "
                f"louder than full scale, and were kept so; the first: {self._clipped[0]}",
                stacklevel=3,
            )

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[Float32[np.ndarray, " _"]]:
        reading = Reading(lost=lost)
        yield from read_audio(path, self.sample_rate, reading)
        if reading.peak < SILENCE:
            raise UnusableFileError("is silent")
        if reading.num_full_scale > CLIPPED_SHARE * reading.num_frames:
            self._clipped.append(name)
