"""Measurements that are made once and kept in the folder of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latentwave.bench.data.json_files import read_json, validated
from latentwave.bench.training.files import write_json
from latentwave.errors import UserError


def read_measured(path: Path, setting: Any, schema: Any) -> Any:
    """What `write_measured` wrote for this very setting.

    Args:
        path: of the file.
        setting: what the values depend on, as plain values.
        schema: the type of the values.

    Returns:
        The values; None if there are none, they are of another setting, or the file is damaged:
        they are measured again then.
    """
    try:
        content = read_json(path, "it is measured again")
        # As it comes back from a file: tuples are lists there.
        if content.get("setting") != json.loads(json.dumps(setting)):
            return None
        return validated(content.get("values"), schema)
    except (UserError, OSError, ValueError):
        return None


def write_measured(path: Path, setting: Any, values: Any) -> None:
    """Write plain values for `read_measured`; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"setting": setting, "values": values})
