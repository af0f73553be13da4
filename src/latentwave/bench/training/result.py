"""The folder of a run: what it is, and what came out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.curve import CurvePoint, read_curve
from latentwave.bench.training.environment import describe_environment
from latentwave.bench.training.files import PARTIAL, read_json, write_json
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError

RESULT = "result.json"
_RECORD = "run.json"
_KEYS = ("contestant", "seed", "mixer", "backbone", "training", "corpus", "environment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        contestant: its name in the recipe.
        seed: of initial weights and batches.
        final_loss: validation loss at the last step, nats per token or labelled document.
        tokens: trained on.
        seconds: spent training, without evaluations and checkpoints.
        curve: all evaluations, step 0 included.
        environment: what it ran on, see `describe_environment`, and how: num_processes, the
            wrapper of the model, whether it was compiled.
        metrics: of the finished model over a whole split, such as "accuracy"; empty for language
            models.
        metrics_split: that split, "test" where there is one.
    """

    contestant: str
    seed: int
    final_loss: float
    tokens: int
    seconds: float
    curve: list[CurvePoint]
    environment: dict[str, Any]
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics_split: str | None = None


def open_folder(folder: Path, record: dict[str, Any], resume: bool) -> None:
    """Start the folder of a run with run.json, or see that it holds this very run.

    Args:
        folder: of the run.
        record: what the run is, as plain values.
        resume: whether the folder may exist.

    Raises:
        UserError: if it exists and may not, or holds something else.
    """
    if _is_free(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _RECORD, record | {"environment": describe_environment()})
        return
    if not resume:
        raise UserError(
            f"the run folder {folder} exists: choose another with --output, or go on with --resume"
        )
    check_folder(folder, record)


def check_folder(folder: Path, record: dict[str, Any]) -> None:
    """See that the folder of a run is free, or holds this very run.

    Args:
        folder: of the run; missing and empty ones are free.
        record: as for `open_folder`.

    Raises:
        UserError: if it holds something else.
    """
    if _is_free(folder):
        return
    if not (folder / _RECORD).is_file():
        raise UserError(f"{folder} exists and is not a run of latentwave: choose another --output")
    before = read_record(folder)
    changed = [
        key + _differences(known, wanted)
        for key in record
        for known, wanted in [(_comparable(before, key), _comparable(record, key))]
        if known != wanted
    ]
    if changed:
        raise UserError(
            f"{folder} holds a run with another {' and '.join(changed)}: choose another --output, "
            "or resume with the recipe that started it"
        )


def _is_free(folder: Path) -> bool:
    """Whether nothing is there yet, or no more than a record that a kill cut off."""
    return not folder.exists() or {path.name for path in folder.iterdir()} <= {_RECORD + PARTIAL}


def read_record(folder: Path) -> dict[str, Any]:
    """What run.json says that a run is; empty for a model that was only saved.

    Raises:
        UserError: if it is damaged.
    """
    path = folder / _RECORD
    if not path.is_file():
        return {}
    remedy = "restore it, or train again in another folder"
    record = read_json(path, remedy)
    lacking = [key for key in _KEYS if key not in record]
    if lacking:
        raise UserError(f"{path} is damaged (it lacks {', '.join(lacking)}): {remedy}")
    return record


def _differences(known: Any, wanted: Any) -> str:
    """Which entries differ, for people: " (learning_rate 0.008 there, 0.016 here)"."""
    if not isinstance(known, dict) or not isinstance(wanted, dict):
        return ""
    keys = [key for key in known | wanted if known.get(key) != wanted.get(key)]
    return f" ({', '.join(f'{k} {known.get(k)} there, {wanted.get(k)} here' for k in keys)})"


def _comparable(record: dict[str, Any], key: str) -> Any:
    """An entry of run.json without what may change from one process to the next."""
    value = record.get(key)
    if key not in _DEFAULTS or not isinstance(value, dict):
        return value
    # What a record of an older version does not name had its default then.
    whole = _DEFAULTS[key] | value
    return {k: v for k, v in whole.items() if k not in TrainingConfig.EXECUTION}


_DEFAULTS: dict[str, dict[str, Any]] = {
    "training": dataclasses.asdict(TrainingConfig()),
    "backbone": dataclasses.asdict(BackboneConfig()),
}


def read_result(folder: Path) -> RunResult:
    """Read a finished run.

    Raises:
        UserError: if the folder holds none, or a damaged one.
    """
    path = folder / RESULT
    if not path.is_file():
        raise UserError(f"{folder} holds no finished run: it has no result.json")
    remedy = "remove it and go on with --resume, which trains again what is missing"
    values = read_json(path, remedy)
    try:
        curve = [CurvePoint(**point) for point in values.pop("curve")]
        return RunResult(curve=curve, **values)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error


def write_result(
    folder: Path,
    record: dict[str, Any],
    execution: dict[str, Any],
    metrics: tuple[dict[str, float], str | None] = ({}, None),
) -> RunResult:
    """Write result.json when a run has ended.

    Args:
        folder: of the run, with its curve.
        record: as for `open_folder`.
        execution: how the run was executed; goes into the result's environment.
        metrics: of the finished model, and the split they were measured on.
    """
    curve = read_curve(folder / "curve.jsonl")
    last = curve[-1]
    result = RunResult(
        contestant=record["contestant"],
        seed=record["seed"],
        final_loss=last.loss,
        tokens=last.tokens,
        seconds=last.seconds,
        curve=curve,
        environment=describe_environment() | execution,
        metrics=metrics[0],
        metrics_split=metrics[1],
    )
    write_json(folder / RESULT, dataclasses.asdict(result))
    return result
