"""Folders of MIDI files as a corpus of events."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from latentwave.bench.data.corpus import SPLITS, Document, FileCorpus, Found, UnusableFileError
from latentwave.bench.data.music.tokens import Piece, tokenize
from latentwave.errors import UserError

SUFFIXES = frozenset((".mid", ".midi"))
# Below this the processes cost more than they save.
PARALLEL_BYTES = 1 << 18
_MOST_WORKERS = 16
_FILES_AT_ONCE = 8


class MidiFiles(FileCorpus):
    """MIDI files, one document each; large corpora are shared among processes.

    Args:
        found: the files.
        kind: of tokenizer.
    """

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


_Result = tuple[Piece | None, list[str]]


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


def use_table(found: Found) -> bool:
    """Take the files and splits of MAESTRO from its table, where the folder holds it.

    Raises:
        UserError: if the table does not have MAESTRO's columns or names other splits.
    """
    tables = sorted(found.root.glob("maestro-v*.csv")) if found.root.is_dir() else []
    if not tables:
        return False
    found.files, found.splits = {}, {}
    for row in _rows(tables[-1], ("midi_filename", "split")):
        name, split = row["midi_filename"], row["split"]
        if split not in SPLITS:
            raise UserError(f"{tables[-1]} puts {name} into a split {split!r}, not in {SPLITS}")
        found.files[name] = _inside(tables[-1], name)
        found.splits[name] = split
    return True


def asap_files(root: Path) -> dict[str, Path]:
    """The performances of ASAP, without its scores; the folder of a name is its piece.

    Raises:
        UserError: if its `metadata.csv` is not there or does not have ASAP's columns.
    """
    table = root / "metadata.csv"
    if not table.is_file():
        raise UserError(
            f"{root} holds no metadata.csv: name the folder of the ASAP dataset, or take the "
            'corpus "music" with split_by "folder"'
        )
    names = [row["midi_performance"] for row in _rows(table, ("folder", "midi_performance"))]
    return {name: _inside(table, name) for name in names}


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{table} has no column {missing[0]!r}: it is another table")
            yield from (row for row in reader if all(row[name] for name in columns))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {table}: {error}") from error


def _inside(table: Path, name: str) -> Path:
    path = table.parent / name
    if not path.resolve().is_relative_to(table.parent.resolve()):
        raise UserError(f"{table} names {name!r}, which lies outside its folder")
    return path
