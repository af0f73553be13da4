"""Reads audio files in blocks, however damaged, mixed to one channel and resampled."""

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

# The formats of recordings that libsndfile reads.
SUFFIXES = frozenset(
    f".{name}" for name in ("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "oga", "ogg", "opus")
) | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
BLOCK_FRAMES = 1 << 16
SILENCE = 2.0**-15  # one step of 16 bits
_UNKNOWN_FRAMES = 1 << 36  # libsndfile reports at least as many for an unknown length
# What libsndfile logs if uncompressed sound is shorter than its header says, in bytes.
_SHORTER = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_UNKNOWN_BYTES = 0x7FFF0000  # the headers of streams say at least as many


def soundfile() -> Any:
    """The package that reads and writes audio files."""
    return optional_package("soundfile", "audio", "sound")


def read_audio(
    path: Path, sample_rate: int, lost: list[str] | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Read a file as one channel at one rate, in blocks, as far as it can be decoded.

    Channels are averaged, then resampled to the rate in hertz. Blocks are (samples,), float32,
    clipped to [−1, 1]; memory does not grow with the file. `lost` gets a message if the end is
    missing.

    Raises:
        UnusableFileError: if the file holds no sound or invalid numbers, or its rate is impossible.
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
    # If the header of an MP3 does not state its length, libsndfile guesses it from the first frames
    # and reads no further. A file that seems longer makes the guess large enough.
    with _PaddedFile(path) as raw, soundfile().SoundFile(raw) as file:
        yield file


class _PaddedFile(io.FileIO):
    """A file that seems to be 64 times as long, with zeros after its end."""

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
        buffer[:size] = bytes(size)  # read in search of a tag at the end
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
            # The block holds what was decoded before the fault.
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
    for stated, present in (map(int, sizes) for sizes in _SHORTER.findall(file.extra_info)):
        if present < stated < _UNKNOWN_BYTES:
            missing_bytes = f"{stated - present:,} of {stated:,} bytes"
            lost.append(f"it breaks off after {seconds:.1f} s, {missing_bytes} are missing")


def resample(
    blocks: Iterable[Float32[np.ndarray, " _"]], rate: int, new_rate: int
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Resample a signal in pieces, as soxr does the whole: N samples to N · new_rate / rate."""
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
    """The blocks of `read_audio`; an UnusableFileError if the recording is silent."""
    peak = 0.0
    for block in read_audio(path, sample_rate, lost):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        yield block
    if peak < SILENCE:
        raise UnusableFileError("is silent")
