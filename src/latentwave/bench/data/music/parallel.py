"""Tokens of many MIDI files, on all cores."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from latentwave.bench.data.media import UnusableFileError
from latentwave.bench.data.music.tokens import Piece, tokenize

# Below this the processes cost more than they save.
PARALLEL_BYTES = 2 << 20
_MOST_WORKERS = 16
_FILES_AT_ONCE = 8


def tokenize_files(kind: str, paths: Sequence[Path]) -> Generator[Piece | str, None, None]:
    """The tokens of files, in their order; large corpora are shared among processes.

    Args:
        kind: of tokenizer.
        paths: of the files.

    Yields:
        The tokens of each file, or in words that follow its name why it cannot be used.
    """
    work = functools.partial(_tokenize_file, kind)
    done = 0
    workers = min(_num_cores(), _MOST_WORKERS)
    if workers > 1 and sum(_size(path) for path in paths) >= PARALLEL_BYTES:
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


def _tokenize_file(kind: str, path: Path) -> Piece | str:
    try:
        return tokenize(kind, path.read_bytes())
    except UnusableFileError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _num_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
