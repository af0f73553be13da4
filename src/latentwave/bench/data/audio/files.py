"""Audio files: reading them in blocks, and what can be wrong with them."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.config import HIGHEST_RATE, LOWEST_RATE
from latentwave.bench.data.corpus import UnusableFileError

# Of the formats that libsndfile reads, those that hold recordings.
SUFFIXES = frozenset(
    f".{name}" for name in ("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "oga", "ogg", "opus")
) | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
BLOCK_FRAMES = 1 << 16
SILENCE = 2.0**-15  # one step of 16 bits
_UNKNOWN_FRAMES = 1 << 36  # what libsndfile takes an unknown length for, and more
# What libsndfile notes of uncompressed sound that is shorter than its header says, in bytes.
_SHORTER = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_UNKNOWN_BYTES = 0x7FFF0000  # what streams say, and more


def soundfile() -> Any:
    """The package that reads and writes audio files."""
    return optional_package("soundfile", "audio", "sound")


def read_audio(
    path: Path, sample_rate: int, lost: list[str] | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Read a file as one channel at one rate, in blocks, as far as it can be decoded.

    Channels are averaged, then the rate in hertz is changed. Blocks are (samples,), float32,
    clipped to [−1, 1]; memory does not grow with the file. `lost` takes in words for a missing end.

    Raises:
        UnusableFileError: if it holds no sound, no numbers, or has an impossible rate.
    """
    lost = [] if lost is None else lost
    package = soundfile()
    try:
        with _opened(path) as file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise UnusableFileError(f"has an impossible sample rate of {file.samplerate} Hz")
            for block in resample(_one_channel(file, lost), file.samplerate, sample_rate):
                yield np.clip(block, -1.0, 1.0)
    except package.LibsndfileError as error:
        raise UnusableFileError(f"is damaged or no audio ({error.error_string})") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with soundfile().SoundFile(path) as file:
        if file.format != "MP3":
            yield file
            return
    # Without a header that says it, libsndfile guesses the length of an MP3 from its first
    # frames, and reads no further. A file that seems longer makes the guess too large.
    with _SeeminglyLong(path) as raw, soundfile().SoundFile(raw) as file:
        yield file


class _SeeminglyLong(io.FileIO):
    """A file that claims to be 64 times as long; what lies behind its end is empty."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._size = 64 * path.stat().st_size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            return super().seek(self._size + offset)
        return super().seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        place = self.tell()
        if place < self._size - 4096:
            return super().readinto(buffer)
        size = max(0, min(len(buffer), self._size - place))
        buffer[:size] = bytes(size)  # the tag at the end, which must be there to be none
        self.seek(place + size)
        return size


def _one_channel(file: Any, lost: list[str]) -> Iterator[Float32[np.ndarray, " _"]]:
    error_type = soundfile().LibsndfileError
    fault, num_frames = "", 0
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
            if not num_frames + len(frames):
                raise
        if not len(frames):
            break
        if not np.isfinite(frames).all():
            raise UnusableFileError("holds values that are no numbers")
        num_frames += len(frames)
        yield frames.mean(axis=1, dtype=np.float32)
    if not num_frames:
        raise UnusableFileError("holds no samples")
    seconds = num_frames / file.samplerate
    if num_frames < file.frames < _UNKNOWN_FRAMES and file.format != "MP3":
        num_lost = file.frames - num_frames
        lost.append(
            f"{num_lost:,} of {file.frames:,} samples, after {seconds:.1f} s, cannot be decoded"
        )
    elif fault and file.frames < _UNKNOWN_FRAMES:
        lost.append(f"it breaks off after {seconds:.1f} s ({fault})")
    for said, there in (map(int, sizes) for sizes in _SHORTER.findall(file.extra_info)):
        if there < said < _UNKNOWN_BYTES:
            of_all = f"{said - there:,} of {said:,} bytes"
            lost.append(f"it breaks off after {seconds:.1f} s, {of_all} are missing")


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


def read_recording(
    sample_rate: int, path: Path, lost: list[str]
) -> Iterator[Float32[np.ndarray, " _"]]:
    """What `read_audio` gives of a recording that must be heard: silent ones are unusable."""
    peak = 0.0
    for block in read_audio(path, sample_rate, lost):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        yield block
    if peak < SILENCE:
        raise UnusableFileError("is silent")
