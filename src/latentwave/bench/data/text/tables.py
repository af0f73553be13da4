"""Tables of texts as corpora: JSON lines, CSV, Parquet, saved Hugging Face data sets."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.corpus import (
    Document,
    FileCorpus,
    Found,
    UnreadableDocumentError,
    UnusableFileError,
)
from latentwave.bench.data.files import DAMAGED_ARCHIVE, find_files, open_unpacked
from latentwave.bench.data.splits import split_of
from latentwave.errors import UserError

DEFAULT_FIELD = "text"
SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "datasets": (".arrow",),
}
_ROWS = 256


class TextTables(FileCorpus):
    """Files of rows, one document per row: the text in one of its fields.

    Rows without a text in that field are skipped and counted.

    Args:
        found: the files.
        kind: "jsonl", "csv", "parquet" or "datasets".
        field: of the row that holds the text.

    Raises:
        UserError: if a package is missing that reads such files.
    """

    def __init__(self, found: Found, kind: str, field: str) -> None:
        super().__init__(found)
        self._rows, package = {
            "jsonl": (_json_rows, "json"),
            "csv": (_csv_rows, "csv"),
            "parquet": (_parquet_rows, "pyarrow"),
            "datasets": (_arrow_rows, "datasets"),
        }[kind]
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"the corpus {kind!r} needs {package}: pip install 'latentwave[datasets]'"
            ) from error
        self._field = field

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        for text in self._pieces(name):
            yield Document(pieces=(text,), split=split)

    def _pieces(self, name: str) -> Iterator[str]:
        with contextlib.suppress(UnreadableDocumentError):  # each row is a document of its own
            yield from super()._pieces(name)

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[str]:
        faults, num_rows, num_texts = [], 0, 0
        rows = self._rows(path)
        try:
            for num_rows, row in enumerate(rows, 1):
                try:
                    text = self._text(row)
                except ValueError as error:
                    faults.append(f"row {num_rows}: {error}")
                    continue
                num_texts += 1
                yield text
        except (OSError, ValueError, csv.Error, *DAMAGED_ARCHIVE) as error:
            lost.append(f"it breaks off after {num_rows:,} rows ({error})")
        if faults:
            lost.append(f"{len(faults)} of {num_rows} rows hold no text; {faults[0]}")
        if not num_texts and (lost or not num_rows):
            raise UnusableFileError("; ".join(lost) or "holds no texts")

    def _text(self, row: Any) -> str:
        record = _parsed(row) if isinstance(row, bytes) else row
        if not isinstance(record, dict):
            raise ValueError(f"{type(record).__name__} instead of an object")
        if self._field not in record:
            names = ", ".join(str(name) for name in record)
            raise ValueError(
                f"no field {self._field!r}, only {names}: name another with text_field"
            )
        text = record[self._field]
        if not isinstance(text, str):
            raise ValueError(f"{self._field!r} is {type(text).__name__}, not a text")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{self._field!r} holds half a character at {error.start}") from error
        return text


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error


def _json_rows(path: Path) -> Iterator[bytes]:
    with open_unpacked(path) as file:
        yield from (line for line in file if line.strip())


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        yield from csv.DictReader(text, delimiter=delimiter)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_ROWS):
        yield from batch.to_pylist()


def _arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    import datasets

    part: Any = datasets.Dataset.from_file(str(path))
    for start in range(0, len(part), _ROWS):
        columns = part[start : start + _ROWS]
        yield from (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )


def find_saved_dataset(path: Path) -> Found:
    """The files of what the library `datasets` has saved with `save_to_disk`.

    Its splits keep their names ("valid" and "dev" are "validation").

    Raises:
        UserError: if it is none, or has a split of another name.
    """
    if not is_saved_dataset(path):
        raise UserError(f"{path} is no folder that the library datasets has saved to the disk")
    found = find_files(path, SUFFIXES["datasets"], "data")
    found.left_out = []
    if (path / "dataset_dict.json").is_file():
        parts = sorted({name.split("/")[0] for name in found.files})
        splits = {part: split_of(part) for part in parts}
        if None in splits.values() or len(set(splits.values())) < len(parts):
            raise UserError(
                f"{path} has the splits {', '.join(parts)}: call them train, validation and test, "
                "or save one alone"
            )
        found.splits = {name: str(splits[name.split("/")[0]]) for name in found.files}
    return found


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder is what `save_to_disk` of the library datasets writes."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))
