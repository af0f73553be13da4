"""Reads the texts in tables: JSON lines, CSV, Parquet and saved Hugging Face data sets."""

import csv
import io
import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.corpus import UnusableFileError
from latentwave.bench.data.files import open_unpacked
from latentwave.bench.data.folders import DAMAGED

_MOST_CHARACTERS = 1 << 30  # of a cell of CSV


def read_texts(kind: str, field: str, path: Path, lost: list[str]) -> Iterator[str]:
    """The texts in one field of a file's rows, for the corpora jsonl, csv, parquet and datasets.

    Rows without a text in that field are skipped and counted.
    """
    rows = {"jsonl": _json_rows, "csv": _csv_rows}.get(kind, _arrow_rows)(path)
    fault, num_rows, num_texts = "", 0, 0
    try:
        for num_rows, row in enumerate(rows, 1):
            try:
                text = _text_of(row, field)
            except ValueError as error:
                fault = fault or f"row {num_rows}: {error}"
                continue
            num_texts += 1
            yield text
    except (OSError, ValueError, csv.Error, *DAMAGED) as error:
        lost.append(f"it breaks off after {num_rows:,} rows ({error})")
    if fault:
        lost.append(f"{num_rows - num_texts} of {num_rows} rows hold no text; {fault}")
    if not num_texts and (lost or not num_rows):
        raise UnusableFileError("holds no texts" + ": " * bool(lost) + "; ".join(lost))


def _text_of(row: Any, field: str) -> str:
    try:
        record = json.loads(row) if isinstance(row, bytes) else row
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(record, dict):
        raise ValueError(f"{reprlib.repr(record)} instead of an object")
    if field not in record:
        names = ", ".join(str(name) for name in record)
        raise ValueError(f"no field {field!r}, only {names}: name another with text_field")
    text = record[field]
    if text is None:  # a row of CSV that is too short, for instance
        raise ValueError(f"{field!r} is empty")
    if not isinstance(text, str):
        raise ValueError(f"{field!r} is {reprlib.repr(text)}, not a text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{field!r} holds half a surrogate pair at {error.start}") from error
    return text


def _json_rows(path: Path) -> Iterator[Any]:
    with open_unpacked(path) as file:
        yield from (line for line in file if line.strip())


def _csv_rows(path: Path) -> Iterator[Any]:
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    # A cell holds a whole document; the limit applies to the process.
    limit = csv.field_size_limit(_MOST_CHARACTERS)
    try:
        with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            yield from csv.DictReader(text, delimiter=delimiter)
    finally:
        csv.field_size_limit(limit)


def _arrow_rows(path: Path) -> Iterator[Any]:
    optional_package("pyarrow", "datasets", f"{path.name}, a table of Arrow or Parquet,")
    import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]

    if path.suffix == ".arrow":  # as saved by the library datasets
        with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as batches:
            for batch in batches:
                yield from batch.to_pylist()
    else:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(256):
            yield from batch.to_pylist()
