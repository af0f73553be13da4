"""Reads audio files in blocks, however damaged, mixed to one channel and resampled."""

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
_CANNOT_SEEK = 39  # its error at the end of such a file
# What libsndfile logs if uncompressed sound is shorter than its header says, in bytes.
_SHORTER = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_UNKNOWN_BYTES = 0x7FFF0000  # the headers of streams say at least as many
# What it logs about OGG files, opened or read.
_NO_LAST_PAGE, _JUNK = "Last page lacks an end-of-stream bit", "Junk after the last page"
_CORRUPTED = "Corrupted bitstream"
# The first frame of an MP3 that states their number.
_STATED_LENGTH = re.compile(
    rb"\xff[\xe0-\xff]..(?:\0{9}|\0{17}|\0{32})(?:Xing|Info)\0{3}[\1\3\5\7\t\v\r\x0f]", re.DOTALL
)
_MP3_SLACK = 2 * 1152  # a whole MP3 may be two frames shorter than it states
_MIN_SKIP = 4096  # frames left out before another attempt to decode
_MAX_ATTEMPTS = 40  # that fail in a row


def soundfile() -> Any:
    """The package that reads and writes audio files."""
    return optional_package("soundfile", "audio", "sound")


def read_audio(
    path: Path, sample_rate: int, lost: list[str] | None = None
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Read a file as one channel at one rate, in blocks, as far as it can be decoded.

    Channels are averaged, then resampled to the rate in hertz. Blocks are (samples,), float32,
    clipped to [−1, 1]; memory does not grow with the file. What cannot be decoded is left out, and
    reading goes on after it; NaN and infinities become silence. `lost` gets a message for each.

    Raises:
        UnusableFileError: if the file holds no sound, or its rate is impossible.
    """
    lost = [] if lost is None else lost
    package = soundfile()
    try:
        with _opened(path) as file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise UnusableFileError(f"has an impossible sample rate of {file.samplerate} Hz")
            blocks = _one_channel(path, file, lost)
            for block in resample(blocks, file.samplerate, sample_rate):
                yield np.clip(block, -1.0, 1.0)
    except package.LibsndfileError as error:
        raise UnusableFileError(f"is damaged or no audio ({error.error_string})") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with soundfile().SoundFile(path) as file:
        if file.format != "MP3" or _states_length(path):
            yield file
            return
    # libsndfile guesses the length of any other MP3 from the first frames and reads no further.
    # A file that seems longer makes the guess large enough.
    with _PaddedFile(path) as raw, soundfile().SoundFile(raw) as file:
        yield file


def _states_length(path: Path) -> bool:
    with path.open("rb") as file:
        tag = file.read(10)
        size = sum((byte & 127) << 7 * n for n, byte in enumerate(reversed(tag[6:])))
        file.seek(10 + size if tag.startswith(b"ID3") else 0)
        return _STATED_LENGTH.match(file.read(64)) is not None


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


def _decoded(file: Any) -> Iterator[Float32[np.ndarray, "_ channels"]]:
    """The frames of an opened file in blocks, up to its end or a fault, which is raised."""
    block = np.empty((BLOCK_FRAMES, file.channels), dtype=np.float32)
    if file.format == "OGG":
        # After a damaged page soundfile would seek back to sound already read.
        file.seekable = lambda: False
    while True:
        block.fill(np.nan)
        try:
            frames = file.read(out=block)
        except soundfile().LibsndfileError as error:
            # The block holds what was decoded before the fault.
            missing = np.isnan(block).any(axis=1)
            yield block[: int(missing.argmax()) if missing.any() else len(block)]
            if error.code == _CANNOT_SEEK and file.frames >= _UNKNOWN_FRAMES:
                return
            raise
        if len(frames):
            yield frames
        # After the end of an MP3, libmpg123 may seek back to sound that was read already.
        if len(frames) < (BLOCK_FRAMES if file.format == "MP3" else 1):
            return


def _salvaged(
    path: Path, file: Any, gaps: dict[int, int]
) -> Iterator[Float32[np.ndarray, "_ channels"]]:
    """The frames of an opened file in blocks, also those after a place that cannot be decoded.

    `gaps` gets each such place and how many frames were left out there, 0 if none came after it.
    """
    num_frames, is_ogg = file.frames, file.format == "OGG"
    place = gap = num_attempts = 0
    with contextlib.ExitStack() as reopened:
        while True:
            try:
                if gap:  # after a fault, only a file opened anew can be read
                    reopened.close()
                    file = reopened.enter_context(_opened(path))
                    file.seek(place + gap)
                for frames in _decoded(file):
                    if gap and len(frames):
                        gaps[place] = gap
                        place, gap, num_attempts = place + gap, 0, 0
                    place += len(frames)
                    yield frames
                return
            except soundfile().LibsndfileError:
                gaps.setdefault(place, 0)
                gap += max(_MIN_SKIP, gap // 4)
                num_attempts += 1
                # libsndfile leaves out damaged pages of OGG files by itself.
                if is_ogg or num_attempts > _MAX_ATTEMPTS or place + gap >= num_frames:
                    if not place:
                        raise
                    return


def _one_channel(path: Path, file: Any, lost: list[str]) -> Iterator[Float32[np.ndarray, " _"]]:
    gaps: dict[int, int] = {}
    num_read = num_invalid = 0
    for frames in _salvaged(path, file, gaps):
        finite = np.isfinite(frames)
        num_read += len(frames)
        num_invalid += len(frames) - int(finite.all(axis=1).sum())
        yield np.where(finite, frames, 0).mean(axis=1, dtype=np.float32)
    if num_invalid == num_read:
        raise UnusableFileError("holds no numbers" if num_read else "holds no samples")
    if num_invalid:
        lost.append(f"{num_invalid:,} of {num_read:,} samples are no numbers, silence instead")
    rate, is_mp3 = file.samplerate, file.format == "MP3"
    is_known = file.frames < _UNKNOWN_FRAMES and not (is_mp3 and not _states_length(path))
    num_lost = file.frames - num_read if is_known else sum(gaps.values())
    if num_lost > (_MP3_SLACK if is_mp3 and not gaps else 0):
        count = f"{num_lost:,} of {file.frames:,}" if is_known else f"at least {num_lost:,}"
        place = f", the first after {min(gaps) / rate:.1f} s" if gaps else ""
        lost.append(f"{count} samples ({num_lost / rate:.1f} s) cannot be decoded{place}")
    end = f"it breaks off after {num_read / rate:.1f} s"
    if _NO_LAST_PAGE in file.extra_info:
        lost.append(end)
    elif _JUNK in file.extra_info or (not is_known and 0 in gaps.values()):
        lost.append(f"{end}, or something else follows its end")
    for stated, present in (map(int, sizes) for sizes in _SHORTER.findall(file.extra_info)):
        if present < stated < _UNKNOWN_BYTES:
            lost.append(f"{end}, {stated - present:,} of {stated:,} bytes are missing")
    if _CORRUPTED in file.extra_info and not lost:
        lost.append("it is damaged, by how much is unknown")


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
