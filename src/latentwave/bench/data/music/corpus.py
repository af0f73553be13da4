"""Folders of MIDI files as a corpus of events."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from latentwave.bench.data.corpus import SPLITS, Document
from latentwave.bench.data.media import MediaFiles, UnusableFileError
from latentwave.bench.data.music.parallel import tokenize_files
from latentwave.bench.data.music.tokens import Piece
from latentwave.errors import UserError

SUFFIXES = frozenset((".mid", ".midi"))


class MidiFiles(MediaFiles):
    """MIDI files, one document each.

    Args:
        root: the file or folder that was asked for.
        files: MIDI files by name, in their order.
        kind: of tokenizer.
        splits: the split of every name; None: the store is cut by shares of its tokens.
    """

    def __init__(
        self,
        root: Path,
        files: Mapping[str, Path],
        kind: str,
        splits: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, files, splits)
        self._kind = kind
        self._results: Iterator[Piece | str] = iter(())

    def documents(self) -> Iterator[Document]:
        """One per file."""
        results = tokenize_files(self._kind, [self.files[name] for name in self.names])
        with contextlib.closing(results):
            self._results = results
            yield from super().documents()

    def _pieces(self, name: str, path: Path) -> Iterator[Piece]:
        result = next(self._results)
        if isinstance(result, str):
            raise UnusableFileError(result)
        yield result


def maestro_table(root: Path) -> Path | None:
    """The table of a MAESTRO folder, `maestro-v3.0.0.csv` or of another version, if it has one."""
    found = sorted(root.glob("maestro-v*.csv")) if root.is_dir() else []
    return found[-1] if found else None


def read_maestro(table: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The performances of MAESTRO and the split that it comes with.

    Args:
        table: as `maestro_table` finds it.

    Returns:
        The files by name, and the split of every name.

    Raises:
        UserError: if the table does not have MAESTRO's columns or names other splits.
    """
    files, splits = {}, {}
    for row in _rows(table, ("midi_filename", "split")):
        name, split = row["midi_filename"], row["split"]
        if split not in SPLITS:
            raise UserError(f"{table} puts {name} into a split {split!r}, not in {SPLITS}")
        files[name] = _inside(table, name)
        splits[name] = split
    return files, splits


def read_asap(table: Path) -> dict[str, Path]:
    """The performances of ASAP, without its scores.

    Args:
        table: its `metadata.csv`.

    Returns:
        The files by name; the folder of a name is its piece.

    Raises:
        UserError: if the table does not have ASAP's columns.
    """
    rows = _rows(table, ("folder", "midi_performance"))
    return {row["midi_performance"]: _inside(table, row["midi_performance"]) for row in rows}


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
