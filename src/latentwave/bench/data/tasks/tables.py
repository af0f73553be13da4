"""Tables that come with labelled corpora: comma- or tab-separated, plain or compressed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from latentwave.bench.data.corpus import UnusableFileError
from latentwave.bench.data.files import DAMAGED_ARCHIVE, PACKED, open_unpacked
from latentwave.errors import UserError

_LONGEST_LINE = 1 << 24


def find_file(folder: Path, name: str) -> Path | None:
    """A file of a folder, plain or compressed; None if there is none."""
    candidates = (folder / f"{name}{suffix}" for suffix in ("", *PACKED))
    return next((path for path in candidates if path.is_file()), None)


def require_files(folder: Path, names: list[str], hint: str) -> list[Path]:
    """Files of a folder, each plain or compressed.

    Raises:
        UserError: if some are missing, followed by the hint.
    """
    found = {name: find_file(folder, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise UserError(f"{folder} has no {', '.join(missing)}: {hint}")
    return [path for path in found.values() if path is not None]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed if its name says so.

    Raises:
        UserError: if it cannot be read, also while it is being read.
    """
    try:
        with open_unpacked(path) as file:
            yield file
    except UserError:
        raise
    except (OSError, ValueError, csv.Error, UnusableFileError, *DAMAGED_ARCHIVE) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"cannot read {path}: {why or error}") from error


def read_csv(path: Path, columns: list[str], *, heading: bool = True) -> Iterator[dict[str, str]]:
    """The rows of a comma-separated table in UTF-8.

    Args:
        path: the table.
        columns: that the heading must name; without a heading, all columns in order.
        heading: whether the first row names the columns.

    Yields:
        The cells of each row by column.

    Raises:
        UserError: if it is missing, empty or damaged, or lacks a column or a cell.
    """
    empty = True
    with opened(path) as file:
        text = TextIOWrapper(file, encoding="utf-8-sig", newline="\n")
        # Lines in pieces: a compressed line may be longer than the memory.
        rows = csv.reader(iter(lambda: text.readline(_LONGEST_LINE), ""), strict=True)
        head = next(rows, columns) if heading else columns
        missing = [column for column in columns if column not in head]
        if missing:
            raise UserError(f"{path} has no column {missing[0]!r}, only {', '.join(head)[:80]!r}")
        for row in filter(None, rows):
            if len(row) != len(head):
                raise UserError(
                    f"{path}, line {rows.line_num}: expected {len(head)} cells, got {len(row)}"
                )
            empty = False
            yield dict(zip(head, row, strict=True))
    if empty:
        raise UserError(f"the table {path} is empty")


def read_tsv(path: Path, num_columns: int) -> Iterator[tuple[str, list[bytes]]]:
    """The lines of a tab-separated table; further tabs belong to the last column.

    Args:
        path: the table.
        num_columns: of each line.

    Yields:
        Where a line stands, for messages, and its cells.

    Raises:
        UserError: if the table is damaged, empty, or a line has too few cells.
    """
    number = 0
    with opened(path) as file:
        while line := file.readline(_LONGEST_LINE):
            number += 1
            place = f"{path}, line {number}"
            cells = line.rstrip(b"\r\n").split(b"\t", num_columns - 1)
            if len(cells) != num_columns or len(line) == _LONGEST_LINE:
                raise UserError(
                    f"{place}: expected {num_columns} cells between tabs, got {line[:40]!r}"
                )
            yield place, cells
    if not number:
        raise UserError(f"the table {path} is empty")
