"""Corpora of MIDI files, tokenized by several processes; the tables of MAESTRO and ASAP."""

import functools
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.corpus import SPLITS, Document, FileCorpus, Found, UnusableFileError
from latentwave.bench.data.files import read_csv
from latentwave.bench.data.music.codec import tokenize
from latentwave.errors import UserError

SUFFIXES = frozenset((".mid", ".midi"))
# Below this the processes cost more than they save.
PARALLEL_BYTES = 1 << 18
_MOST_WORKERS = 16
_FILES_AT_ONCE = 8
Tokens = NDArray[np.uint16]


class MidiFiles(FileCorpus):
    """MIDI files, one document each, as tokens of a kind; large corpora take several processes."""

    def __init__(self, found: Found, kind: str) -> None:
        super().__init__(found, self._next_tokens)
        self._tokenize = functools.partial(_tokenize_file, kind)
        self._results: Iterator[tuple[Tokens | None, list[str]]] = iter(())

    def documents(self) -> Iterator[Document]:
        """One per file."""
        paths = list(self._to_read.values())
        workers = min(num_cores(), _MOST_WORKERS)
        if workers < 2 or sum(path.stat().st_size for path in paths) < PARALLEL_BYTES:
            self._results = map(self._tokenize, paths)
            yield from super().documents()
            return
        with ProcessPoolExecutor(workers) as pool:
            with warnings.catch_warnings():
                # Newer Pythons warn of forks in programs with threads; the workers take no lock.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._results = pool.map(self._tokenize, paths, chunksize=_FILES_AT_ONCE)
            yield from super().documents()

    def _next_tokens(self, path: Path, lost: list[str]) -> Iterator[Tokens]:
        try:
            tokens, faults = next(self._results)
        except BrokenProcessPool as error:
            raise UserError(
                f"a process that read MIDI files was killed at {path} or near it, perhaps for lack "
                "of memory: nothing was written, prepare again"
            ) from error
        if tokens is None:
            raise UnusableFileError("; ".join(faults))
        lost += faults
        yield tokens


def _tokenize_file(kind: str, path: Path) -> tuple[Tokens | None, list[str]]:
    """The tokens of a file and what was lost; None and why if it cannot be used."""
    lost: list[str] = []
    try:
        return tokenize(kind, path.read_bytes(), lost), lost
    except UnusableFileError as error:
        return None, [str(error)]
    except OSError as error:
        return None, [f"cannot be read ({error.strerror or error})"]


def num_cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has it
        return os.cpu_count() or 1


def maestro_files(root: Path) -> Found | None:
    """The files and splits of MAESTRO by its table; None if the folder does not hold it."""
    tables = sorted(root.glob("maestro-v*.csv")) if root.is_dir() else []
    if not tables:
        return None
    table, files, splits = tables[-1], {}, {}
    for row in read_csv(table, ["midi_filename", "split"]):
        name, split = row["midi_filename"], row["split"]
        if split not in SPLITS:
            raise UserError(f"{table} puts {name} into a split {split!r}, not in {SPLITS}")
        files[name], splits[name] = _inside(table, name), split
    return Found(root=root, files=files, splits=splits, tables={table.name: table})


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
