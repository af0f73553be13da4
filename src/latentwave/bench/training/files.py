"""Small JSON files of runs and comparisons."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from latentwave.errors import UserError

PARTIAL = ".partial"


def write_durably(path: Path, text: str) -> None:
    """Replace a file at once: a reader or a crash finds the old text or the new, never half."""
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Replace a file by plain values, at once."""
    write_durably(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The dictionary that a file holds.

    Args:
        path: an existing file.
        remedy: what to do where it is damaged, the end of the message.

    Raises:
        UserError: if it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged (it holds no keys and values): {remedy}")
    return values
