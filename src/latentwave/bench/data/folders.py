"""Folders that are there completely or not at all, and JSON files checked against a type."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latentwave.errors import UserError

ABANDONED_SECONDS = 24 * 3600.0


def cache_folder() -> Path:
    """`$LATENTWAVE_HOME`, or else `latentwave` in the user's cache folder.

    Raises:
        UserError: if the user has no home folder.
    """
    home = os.environ.get("LATENTWAVE_HOME")
    if home:
        return Path(home).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentwave"
    except RuntimeError as error:
        raise UserError("there is no home folder: set LATENTWAVE_HOME to a folder") from error


@contextlib.contextmanager
def whole_folder(folder: Path, final: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Give an empty folder to fill, which takes its real name only when all is on the disk.

    The folder to fill stands beside the real one. When the block ends its files are forced to the
    disk and it is renamed; when the block raises it is removed. If the process is killed it stays
    under its temporary name and the next call removes it after a day. If another process has
    filled the real folder meanwhile, that one stays.

    Args:
        folder: the real name; missing or empty.
        final: gives the real name, beside `folder`, when all is written; default: `folder`.

    Yields:
        The folder to fill.

    Raises:
        OSError: if the disk refuses.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    partial = parent / f".{folder.name}.{secrets.token_hex(8)}.partial"
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            _force(file)
        _force(partial)
        if not _rename(partial, folder if final is None else final()):
            shutil.rmtree(partial)
        _force(parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _rename(partial: Path, folder: Path) -> bool:
    """Whether the folder could take its name; False if a full one stands there."""
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()  # refused unless empty
        partial.rename(folder)
    except OSError:
        if folder.is_dir() and any(folder.iterdir()):
            return False
        raise
    return True


def _force(path: Path) -> None:
    if path.is_dir():
        if os.name != "posix":  # elsewhere folders cannot be opened
            return
        descriptor = os.open(path, os.O_RDONLY)
    else:
        descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    oldest = time.time() - ABANDONED_SECONDS
    for partial in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        with contextlib.suppress(OSError):  # another process may be at it
            if all(path.stat().st_mtime < oldest for path in (partial, *partial.iterdir())):
                shutil.rmtree(partial)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file to write, which takes its real name when the block ends without a fault."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path, schema: Any, remedy: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        schema: a dataclass, or a type such as `dict[str, str]`. Values must have exactly the
            types that it names; further keys are passed over.
        remedy: what to do where the file is missing or damaged, the end of the message.

    Raises:
        UserError: if it is no regular file, no JSON, nested too deeply, or of another form.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "counts.json"
        >>> _ = path.write_text('{"a": 1}')
        >>> read_json(path, dict[str, int], "write it again")
        {'a': 1}
    """
    if not path.is_file():  # a named pipe would never end
        what = "is no regular file" if path.exists() else "is missing"
        raise UserError(f"{path} {what}: {remedy}")
    try:
        return _adapter(schema).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise UserError(f"{path} is damaged ({where}{first['msg']}): {remedy}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {remedy}") from error


@functools.lru_cache(maxsize=64)
def _adapter(schema: Any) -> Any:
    return TypeAdapter(schema)
