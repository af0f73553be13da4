"""Files of runs, comparisons and ladders: written whole, checked when they are read."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from latentwave.errors import UserError

PARTIAL = ".partial"
# What the folder of a run holds.
RECORD = "run.json"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
MODEL = "model"
SNAPSHOTS = "mixers"
TENSORBOARD = "tensorboard"
# In a sealed folder, such as a checkpoint or a model.
MANIFEST = "manifest.json"
_SEAL = "sha256"

T = TypeVar("T")


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace a file at once: a reader or a crash finds the old content or the new, never half."""
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Replace a file by plain values, at once."""
    write_durably(path, json.dumps(value, indent=2) + "\n")


@overload
def read_json(path: Path, remedy: str) -> dict[str, Any]: ...
@overload
def read_json(path: Path, remedy: str, schema: type[T]) -> T: ...
def read_json(path: Path, remedy: str, schema: Any = dict[str, Any]) -> Any:
    """The content of a JSON file.

    Args:
        path: of a regular file.
        remedy: what to do if it is missing or damaged, the end of the message.
        schema: the type that it must have, such as a dataclass or a TypedDict.

    Returns:
        An object of that type.

    Raises:
        UserError: if there is no such file, or it holds something else.
    """
    if not path.is_file():  # opening a FIFO would wait for its writer
        raise UserError(f"{path} is {'no file' if path.exists() else 'missing'}: {remedy}")
    try:
        return validated(from_json(path.read_bytes()), schema)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error


def validated(value: Any, schema: Any, *, strict: bool = False) -> Any:
    """A value as an object of a type.

    Args:
        value: plain values, or the object itself.
        schema: the type; keys that it does not have are refused if it is `STRICT`.
        strict: take "1" for no number.

    Raises:
        ValueError: for the first fault that is found, with its place.
    """
    try:
        return _adapter(schema).validate_python(value, strict=strict)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"{place}: {fault['msg']}" if place else fault["msg"]) from error


@cache
def _adapter(schema: Any) -> Any:
    return TypeAdapter(schema)


STRICT = ConfigDict(extra="forbid")


def digest(values: Any) -> str:
    """The SHA-256 of plain values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file by values and their digest, for `read_sealed`."""
    write_json(path, values | {_SEAL: digest(values)})


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises:
        UserError: if the file is missing, or not what was written.
    """
    values = read_json(path, remedy)
    if values.pop(_SEAL, None) != digest(values):
        raise UserError(f"{path} is damaged (it has changed since it was written): {remedy}")
    return values


def seal_folder(folder: Path, **facts: Any) -> None:
    """Write manifest.json: facts, and size and SHA-256 of every file in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
    }
    write_sealed(folder / MANIFEST, facts | {"files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `seal_folder` wrote, once all files are seen to be those that were sealed.

    Raises:
        UserError: for the first file that is missing or has changed.
    """
    manifest = read_sealed(folder / MANIFEST, "the folder cannot be trusted")
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing")
        if path.stat().st_size != expected["bytes"]:
            raise UserError(f"{path} has {path.stat().st_size} bytes, not {expected['bytes']}")
        if _sha256(path) != expected["sha256"]:
            raise UserError(f"{path} has changed since it was written")
    return manifest


def find_fault(folder: Path) -> str | None:
    """What is wrong with the files of a sealed folder, None if nothing is."""
    try:
        read_manifest(folder)
    except (UserError, OSError) as error:
        return str(error)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
