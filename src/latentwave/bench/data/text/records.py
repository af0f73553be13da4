"""JSON lines and Hugging Face data sets as corpora."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentwave.bench.data.corpus import SPLITS, Corpus, Document
from latentwave.bench.data.digests import SourceDigest
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.text.files import find_files
from latentwave.errors import UserError

DEFAULT_FIELD = "text"
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ROWS = 256


def split_of(name: str) -> str | None:
    """The split that a file name or the name of a split stands for.

    Example:
        >>> split_of("wiki.valid.raw"), split_of("dev-00001.jsonl"), split_of("latest.txt")
        ('validation', 'validation', None)
    """
    words = re.split(r"[^a-z]+", re.sub(r"\d+", " ", name.lower()))
    found = {_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


class JsonLines(Corpus):
    """JSON lines: one object per line, one document per object.

    Files of a folder that are called after a split ("train.jsonl", "valid-01.jsonl") keep it, if
    all of them are. Lines that are no object with a text are skipped and counted.

    Args:
        path: a file, or a folder with *.jsonl or *.ndjson files.
        field: of the object that holds the text.

    Raises:
        UserError: if nothing is there.
    """

    def __init__(self, path: Path, field: str = DEFAULT_FIELD) -> None:
        super().__init__()
        if not path.exists():
            raise UserError(f"there is no file or folder {path}: check the path")
        self._path, self._field = path, field
        found = [path]
        if path.is_dir():
            found = [file for file in find_files(path) if file.suffix in JSON_LINES_SUFFIXES]
            if not found:
                raise UserError(f"the folder {path} holds no {' or '.join(JSON_LINES_SUFFIXES)}")
        splits = {file: split_of(file.name) for file in found}
        self._splits: dict[Path, str | None] = dict.fromkeys(found)
        if path.is_dir() and None not in splits.values():
            order = {split: index for index, split in enumerate(SPLITS)}
            found.sort(key=lambda file: order[splits[file] or ""])
            self._splits = splits
        self.files = {
            file.relative_to(path).as_posix() if path.is_dir() else file.name: file
            for file in found
        }

    def documents(self) -> Iterator[Document]:
        """One document per line.

        Raises:
            UserError: if no line holds a text.
        """
        self.sources, self.skipped = [], []
        num_texts = 0
        for name, path in self.files.items():
            digest = SourceDigest()
            num_lines, faults = 0, []
            with path.open("rb") as file:
                for num_lines, line in enumerate(file, 1):
                    digest.update(line)
                    if not line.strip():
                        continue
                    try:
                        text = self._text(line)
                    except ValueError as error:
                        faults.append(f"line {num_lines}: {error}")
                        continue
                    num_texts += 1
                    yield Document(pieces=(text,), split=self._splits[path])
            self.sources.append(digest.source(name))
            if faults:
                reason = f"{len(faults)} of {num_lines} lines of {path}; {faults[0]}"
                self.skipped.append(SkippedFile(name=name, reason=reason))
        if not num_texts:
            first = f"; the first: {self.skipped[0].reason}" if self.skipped else ""
            raise UserError(f"{self._path} holds no texts{first}")

    def _text(self, line: bytes) -> str:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise ValueError(f"{type(record).__name__} instead of an object")
        if self._field not in record:
            raise ValueError(
                f"no field {self._field!r}, only {', '.join(record)}: name another with text_field"
            )
        return checked_text(record[self._field], self._field)


class DiskDataset(Corpus):
    """A data set that the Hugging Face library `datasets` has saved with `save_to_disk`.

    Its splits keep their names ("valid" and "dev" are "validation").

    Args:
        path: the folder.
        field: the column that holds the texts.

    Raises:
        UserError: if there is none, it lacks the column, or has a split of another name.
    """

    def __init__(self, path: Path, field: str = DEFAULT_FIELD) -> None:
        super().__init__()
        if not is_disk_dataset(path):
            raise UserError(f"{path} is no folder that the library datasets has saved to the disk")
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                "data sets need the library datasets: pip install 'latentwave[datasets]'"
            ) from error
        self._field = field
        loaded: Any = datasets.load_from_disk(str(path))
        parts: dict[str, Any] = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
        self._parts: dict[str | None, Any] = {}
        for name, part in parts.items():
            split = split_of(name) if name else None
            if name and (split is None or split in self._parts):
                raise UserError(
                    f"{path} has the splits {', '.join(parts)}: call them train, validation and "
                    "test, or save one alone"
                )
            if field not in part.column_names:
                raise UserError(
                    f"{path} has no column {field!r}, only {', '.join(part.column_names)}: name "
                    "one with text_field"
                )
            self._parts[split] = part
        self.files = {file.relative_to(path).as_posix(): file for file in find_files(path)}

    def documents(self) -> Iterator[Document]:
        """One document per row.

        Raises:
            UserError: if no row holds a text.
        """
        self.sources, self.skipped = [], []
        num_texts = 0
        for split in (None, *SPLITS):
            if split not in self._parts:
                continue
            part, name = self._parts[split], split or "rows"
            digest, faults = SourceDigest(), []
            for start in range(0, len(part), _ROWS):
                for index, value in enumerate(part[start : start + _ROWS][self._field], start):
                    try:
                        text = checked_text(value, self._field)
                    except ValueError as error:
                        faults.append(f"row {index}: {error}")
                        continue
                    content = text.encode()
                    digest.update(len(content).to_bytes(8, "little") + content)
                    num_texts += bool(text)
                    yield Document(pieces=(text,), split=split)
            self.sources.append(digest.source(name))
            if faults:
                reason = f"{len(faults)} of {len(part)} rows of {name}; {faults[0]}"
                self.skipped.append(SkippedFile(name=name, reason=reason))
        if not num_texts:
            raise UserError(f"the column {self._field!r} of the data set holds no texts")


def is_disk_dataset(path: Path) -> bool:
    """Whether a folder is what `save_to_disk` of the library datasets writes."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


def is_json_lines(path: Path) -> bool:
    """Whether a file, or every file of a folder, is called *.jsonl or *.ndjson."""
    found = find_files(path) if path.is_dir() else [path]
    return bool(found) and all(file.suffix in JSON_LINES_SUFFIXES for file in found)


def checked_text(value: Any, field: str) -> str:
    """A text that can be written as UTF-8.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{field!r} is {type(value).__name__}, not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{field!r} holds half a character at {error.start}") from error
    return value
