"""Reads and writes the JSON files and manifests of runs, with digests that reveal damage."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from latentwave.bench.data.folders import write_durably
from latentwave.bench.data.json_files import read_json
from latentwave.bench.data.metadata import sha256_of
from latentwave.errors import UserError

# The contents of a run folder.
RECORD = "run.json"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
MODEL = "model"
SNAPSHOTS = "mixers"
TENSORBOARD = "tensorboard"
MANIFEST = "manifest.json"  # of a sealed folder: a checkpoint or a model
STRICT = ConfigDict(extra="forbid")
_SEAL = "sha256"


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step, so that no reader finds half of it."""
    write_durably(path, json.dumps(value, indent=2) + "\n")


def digest(values: Any) -> str:
    """The SHA-256 of plain values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file with values and their digest, for `read_sealed`."""
    write_json(path, values | {_SEAL: digest(values)})


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """The values that `write_sealed` wrote; a UserError if the file is missing or has changed."""
    values = read_json(path, remedy)
    if values.pop(_SEAL, None) != digest(values):
        raise UserError(f"{path} is damaged (it has changed since it was written): {remedy}")
    return values


def seal_folder(folder: Path) -> None:
    """Write manifest.json: the size and SHA-256 of every file in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }
    write_sealed(folder / MANIFEST, {"files": files})


def find_fault(folder: Path) -> str | None:
    """The first fault in a sealed folder; None if every file is as it was sealed."""
    try:
        manifest = read_sealed(folder / MANIFEST, "the folder cannot be trusted")
        for name, expected in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != expected["bytes"]:
                return f"{path} has {path.stat().st_size} bytes, not {expected['bytes']}"
            if sha256_of(path) != expected["sha256"]:
                return f"{path} has changed since it was written"
    except (UserError, OSError) as error:
        return str(error)
    return None
