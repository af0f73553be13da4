"""Folders of MIDI files as a corpus of events."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from latentwave.bench.data.corpus import SPLITS, Document, FileCorpus, Found, UnusableFileError
from latentwave.bench.data.files import read_csv
from latentwave.bench.data.music.codec import Piece, tokenize
from latentwave.errors import UserError

SUFFIXES = frozenset((".mid", ".midi"))
# Below this the processes cost more than they save.
PARALLEL_BYTES = 1 << 18
_MOST_WORKERS = 16
_FILES_AT_ONCE = 8
_Result = tuple[Piece | None, list[str]]


class MidiFiles(FileCorpus):
    """MIDI files, one document each, in tokens of a kind; processes share large corpora."""

    def __init__(self, found: Found, kind: str) -> None:
        super().__init__(found)
        self._kind = kind
        self._results: Iterator[_Result] = iter(())

    def documents(self) -> Iterator[Document]:
        """One per file."""
        unusable = self._unusable()
        paths = [path for name, path in self.files.items() if name not in unusable]
        with contextlib.closing(tokenize_files(self._kind, paths)) as self._results:
            yield from super().documents()

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[Piece]:
        piece, words = next(self._results)
        if piece is None:
            raise UnusableFileError("; ".join(words))
        lost += words
        yield piece


def tokenize_files(kind: str, paths: Sequence[Path]) -> Generator[_Result, None, None]:
    """The tokens of each file, None if it cannot be used, and what was lost or why."""
    work = functools.partial(_tokenize_file, kind)
    done = 0
    workers = min(_num_cores(), _MOST_WORKERS)
    if workers > 1 and sum(path.stat().st_size for path in paths) >= PARALLEL_BYTES:
        try:
            with ProcessPoolExecutor(workers) as pool:
                with warnings.catch_warnings():
                    # Newer Pythons warn of forks in programs with threads; this work takes no lock.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    results = pool.map(work, paths, chunksize=_FILES_AT_ONCE)
                for result in results:
                    done += 1
                    yield result
        except BrokenProcessPool:  # processes cannot be had here, or one was killed
            pass
    yield from map(work, paths[done:])


def _tokenize_file(kind: str, path: Path) -> _Result:
    lost: list[str] = []
    try:
        return tokenize(kind, path.read_bytes(), lost), lost
    except UnusableFileError as error:
        return None, [str(error)]
    except OSError as error:
        return None, [f"cannot be read ({error.strerror or error})"]


def _num_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def maestro_files(root: Path) -> Found | None:
    """The files and splits of MAESTRO by its table; None where the folder does not hold it."""
    tables = sorted(root.glob("maestro-v*.csv")) if root.is_dir() else []
    if not tables:
        return None
    files, splits = {}, {}
    for row in read_csv(tables[-1], ["midi_filename", "split"]):
        name, split = row["midi_filename"], row["split"]
        if split not in SPLITS:
            raise UserError(f"{tables[-1]} puts {name} into a split {split!r}, not in {SPLITS}")
        files[name], splits[name] = _inside(tables[-1], name), split
    return Found(root=root, files=files, splits=splits)


def asap_files(root: Path) -> dict[str, Path]:
    """The performances of ASAP, without its scores; the folder of a name is its piece."""
    table = root / "metadata.csv"
    if not table.is_file():
        raise UserError(
            f"{root} holds no metadata.csv: name the folder of the ASAP dataset, or take the "
            'corpus "music" with split_by "folder"'
        )
    names = [row["midi_performance"] for row in read_csv(table, ["folder", "midi_performance"])]
    return {name: _inside(table, name) for name in names if name}


def _inside(table: Path, name: str) -> Path:
    path = table.parent / name
    if not path.resolve().is_relative_to(table.parent.resolve()):
        raise UserError(f"{table} names {name!r}, which lies outside its folder")
    return path
