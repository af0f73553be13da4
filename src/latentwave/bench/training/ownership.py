"""One process at a time trains into a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from latentwave.errors import UserError

LOCK_NAME = ".lock"


@contextlib.contextmanager
def owned_folder(folder: Path) -> Iterator[None]:
    """Own the folder of a run while it trains; a process that dies gives it up.

    Args:
        folder: an existing one.

    Raises:
        UserError: if another process trains into it.
    """
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is training in {folder}: wait for it, or stop it and go on with "
            "--resume"
        ) from None
    try:
        yield
    finally:
        lock.release()
