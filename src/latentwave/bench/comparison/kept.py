"""Measurements of a comparison that are made once and kept in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latentwave.bench.training.files import write_json


def read_kept(path: Path, setting: Any) -> Any:
    """What `keep` wrote for this very setting.

    Args:
        path: of the file.
        setting: plain values.

    Returns:
        The values; None where there are none, they are of another setting, or the file is
        damaged: they are measured again then.
    """
    content = _content(path)
    return content.get("values") if content.get("setting") == _plain(setting) else None


def kept_setting(path: Path) -> dict[str, Any] | None:
    """What the values of a file were measured for; None without a whole file."""
    setting = _content(path).get("setting")
    return setting if isinstance(setting, dict) else None


def keep(path: Path, setting: Any, values: Any) -> None:
    """Write values for `read_kept`, with what they were measured for.

    Args:
        path: of the file; its folder is made.
        setting: plain values.
        values: plain values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"setting": setting, "values": values})


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _plain(setting: Any) -> Any:
    """As it comes back from a file: tuples are lists there."""
    return json.loads(json.dumps(setting))
