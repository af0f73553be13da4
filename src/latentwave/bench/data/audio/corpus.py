"""Recordings as a corpus of samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from latentwave.bench.data.audio.files import SILENCE, Level, read_audio
from latentwave.bench.data.corpus import Document, UnreadableDocumentError
from latentwave.bench.data.media import MediaFiles, UnusableFileError


class AudioFiles(MediaFiles):
    """Recordings, one document each: one channel of samples in [−1, 1] at one rate.

    A file that goes beyond ±1 by more than a lossy codec's overshoot is scaled to ±1.

    Args:
        root: the file or folder that was asked for.
        files: recordings by name, in their order.
        sample_rate: in hertz.
        splits: the split of every name; None: the store is cut by shares of its tokens.
    """

    def __init__(
        self,
        root: Path,
        files: Mapping[str, Path],
        sample_rate: int,
        splits: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, files, splits)
        self.sample_rate = sample_rate
        self._gains: dict[str, float] = {}
        self._clipped: dict[str, float] = {}

    def documents(self) -> Iterator[Document]:
        """One per file.

        Warns:
            UserWarning: how many files are clipped, or were scaled down.
        """
        self._gains.clear()
        self._clipped.clear()
        yield from super().documents()
        self._warn()

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        yield from super()._documents_of(name, split)
        if name in self._gains:  # known at the end of the file, which was then taken back
            yield from super()._documents_of(name, split)

    def _pieces(self, name: str, path: Path) -> Iterator[Float32[np.ndarray, " _"]]:
        known, level = self._gains.get(name), Level()
        yield from read_audio(path, self.sample_rate, gain=known or 1.0, level=level)
        if level.peak < SILENCE:
            raise UnusableFileError("is silent")
        if level.gain < 1.0:
            self._gains[name] = level.gain
            if known is None:
                raise UnreadableDocumentError(f"{path} must be read again, at a lower level")
        elif level.is_clipped:
            self._clipped[name] = level.num_full_scale / level.num_values

    def _warn(self) -> None:
        if self._gains:
            first, gain = next(iter(self._gains.items()))
            warnings.warn(
                f"{len(self._gains)} of {len(self.files)} files in {self.root} go beyond full "
                f"scale and were scaled down to it; the first: {first}, by {gain:.3g}",
                stacklevel=3,
            )
        if self._clipped:
            first, share = next(iter(self._clipped.items()))
            warnings.warn(
                f"{len(self._clipped)} of {len(self.files)} files in {self.root} are clipped and "
                f"were kept; the first: {first}, with {share:.1%} of its samples at full scale",
                stacklevel=3,
            )
