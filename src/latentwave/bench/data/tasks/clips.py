"""Labelled sound clips as samples."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from latentwave.bench.data.corpus import SPLITS, Corpus, Document
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.tasks.trees import FileTree, file_source
from latentwave.errors import UserError

AUDIO_SUFFIXES = (".wav", ".ogg", ".flac", ".mp3", ".aif", ".aiff")
_FULL_SCALE = 32767
_LOST, _UNNAMED = "a label without its file", "a file without a label"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """One row of a table of labels.

    Attributes:
        name: of the file, relative to its tree.
        split: "train", "validation" or "test".
        label: the class, or all classes of a multi-label clip.
    """

    name: str
    split: str
    label: int | tuple[int, ...]


class LabelledClips(Corpus):
    """Sound files with labels, mixed to one channel and resampled to one rate.

    Args:
        tree: holds the files.
        clips: the table. Clips without a file are skipped and counted; sound files without a
            label are counted.
        class_names: what the labels stand for.
        sample_rate: of the samples, in Hz.
        multi_label: whether labels are tuples.
        tables: the files that the table was read from.

    Raises:
        UserError: if no clip has a file, or a split that is needed is empty.

    Warns:
        UserWarning: for skipped files and for classes without a clip to train on.
    """

    def __init__(
        self,
        tree: FileTree,
        clips: Sequence[Clip],
        class_names: tuple[str, ...],
        sample_rate: int,
        *,
        multi_label: bool = False,
        tables: Sequence[Path] = (),
    ) -> None:
        _soundfile()
        super().__init__()
        self.class_names = class_names
        self.multi_label = multi_label
        self.sample_rate = sample_rate
        self._tree = tree
        self._tables = tuple(tables)
        there = {name for name in tree.names if name.lower().endswith(AUDIO_SUFFIXES)}
        self._clips = [clip for clip in clips if clip.name in there]
        named = {clip.name for clip in clips}
        self._left_out = [
            *(SkippedFile(name=c.name, reason=_LOST) for c in clips if c.name not in there),
            *(SkippedFile(name=name, reason=_UNNAMED) for name in sorted(there - named)),
        ]
        if not self._clips:
            first = f", the first is {clips[0].name}" if clips else ""
            raise UserError(f"none of the {len(clips)} labelled clips is in {tree.path}{first}")
        for reason in (_LOST, _UNNAMED):
            self._warn([file for file in self._left_out if file.reason == reason])
        self.skipped = list(self._left_out)
        self._check_splits(class_names)
        self.files = tree.files(clip.name for clip in self._clips)
        self.files |= {table.name: table for table in self._tables}

    def documents(self) -> Iterator[Document]:
        """One clip each, as int16 samples.

        Raises:
            UserError: if no clip of a split can be decoded.

        Warns:
            UserWarning: how many clips cannot be decoded, or are empty.
        """
        damaged: list[SkippedFile] = []
        for split in SPLITS:
            clips = [clip for clip in self._clips if clip.split == split]
            before = len(damaged)
            for clip in clips:
                try:
                    samples = decode_clip(self._tree.read(clip.name), self.sample_rate)
                except UserError as error:
                    damaged.append(SkippedFile(name=clip.name, reason=str(error)))
                    continue
                yield Document(pieces=[samples], split=split, label=clip.label)
            if clips and len(damaged) - before == len(clips):
                raise UserError(
                    f"none of the {len(clips)} {split} clips in {self._tree.path} can be decoded; "
                    f"the first: {damaged[before].name}: {damaged[before].reason}"
                )
        self._warn(damaged)
        self.skipped = self._left_out + damaged
        self.sources = self._tree.sources + [file_source(table) for table in self._tables]

    def _warn(self, files: Sequence[SkippedFile]) -> None:
        if files:
            warnings.warn(
                f"{self._tree.path}: skipped {len(files)} sound files or labels; the first: "
                f"{files[0].name}: {files[0].reason}",
                stacklevel=3,
            )

    def _check_splits(self, class_names: tuple[str, ...]) -> None:
        for split in ("train", "validation"):
            if not any(clip.split == split for clip in self._clips):
                raise UserError(f"{self._tree.path} has no {split} clips")
        labels = [clip.label for clip in self._clips if clip.split == "train"]
        present = {c for label in labels for c in (label if isinstance(label, tuple) else (label,))}
        absent = [name for c, name in enumerate(class_names) if c not in present]
        if absent:
            warnings.warn(
                f"{self._tree.path}: {len(absent)} of {len(class_names)} classes have no clip "
                f"to train on; the first: {absent[0]}",
                stacklevel=3,
            )


def decode_clip(content: bytes, sample_rate: int) -> NDArray[np.int16]:
    """Decode a sound file: mean of its channels, resampled, 16 bits.

    Args:
        content: of the file.
        sample_rate: in Hz.

    Returns:
        (samples,), int16.

    Raises:
        UserError: if it is no sound file, is empty, or holds NaN or infinities.
    """
    soundfile = _soundfile()
    try:
        sound, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise UserError(f"no sound file ({str(error).strip()})") from error
    mono = sound.mean(axis=1)
    if not len(mono):
        raise UserError("the sound is empty")
    if not np.isfinite(mono).all():
        raise UserError("the sound holds NaN or infinities")
    if rate != sample_rate:
        common = math.gcd(rate, sample_rate)
        mono = resample_poly(mono, sample_rate // common, rate // common)
    scaled = np.clip(np.round(mono * _FULL_SCALE), -_FULL_SCALE - 1, _FULL_SCALE)
    samples: NDArray[np.int16] = scaled.astype(np.int16)
    return samples


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise UserError(
            "sound files cannot be read without soundfile: pip install 'latentwave[audio]'"
        ) from error
    return soundfile
