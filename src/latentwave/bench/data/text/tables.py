"""Tables of texts as corpora: JSON lines, CSV, Parquet, saved Hugging Face data sets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.corpus import FileCorpus, Found, UnusableFileError
from latentwave.bench.data.files import DAMAGED_ARCHIVE, find_files, open_unpacked
from latentwave.bench.data.splits import split_of
from latentwave.errors import UserError


class TextTables(FileCorpus):
    """Files of rows of a kind, one document per row: the text in one of its fields.

    Rows without a text in that field are skipped and counted.
    """

    pieces_are_documents = True

    def __init__(self, found: Found, kind: str, field: str) -> None:
        super().__init__(found)
        self._rows, self._field = {"jsonl": _json_rows, "csv": _csv_rows}.get(kind, _rows), field
        if self._rows is _rows:
            optional_package("pyarrow", "datasets", f"the corpus {kind!r}")

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[str]:
        faults, num_rows, num_texts = [], 0, 0
        try:
            for num_rows, row in enumerate(self._rows(path), 1):
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
        try:
            record = json.loads(row) if isinstance(row, bytes) else row
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON ({error})") from error
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


def _json_rows(path: Path) -> Iterator[Any]:
    with open_unpacked(path) as file:
        yield from (line for line in file if line.strip())


def _csv_rows(path: Path) -> Iterator[Any]:
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        yield from csv.DictReader(text, delimiter=delimiter)


def _rows(path: Path) -> Iterator[Any]:
    import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]

    if path.suffix == ".arrow":  # as the library datasets saves them
        with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as batches:
            for batch in batches:
                yield from batch.to_pylist()
    else:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(256):
            yield from batch.to_pylist()


def find_saved_dataset(path: Path) -> Found:
    """The files of what the library `datasets` has saved with `save_to_disk`, in its splits."""
    if not is_saved_dataset(path):
        raise UserError(f"{path} is no folder that the library datasets has saved to the disk")
    found = find_files(path, (".arrow",), "data")
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
