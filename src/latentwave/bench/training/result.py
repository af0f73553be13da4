"""A run folder: run.json says what the run is, result.json how it ended."""

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import with_config

from latentwave.bench.data.folders import PARTIAL
from latentwave.bench.data.json_files import validated
from latentwave.bench.training.environment import describe_environment
from latentwave.bench.training.files import (
    CHECKPOINTS,
    RECORD,
    RESULT,
    SNAPSHOTS,
    STRICT,
    digest,
    read_sealed,
    write_sealed,
)
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError

LOCK = ".lock"
_RUN = "run_sha256"  # in result.json: the digest of run.json's lasting part


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One evaluation; of a step that a diverged run did not reach, seconds and loss are nan."""

    step: int  # optimizer steps so far
    tokens: int  # trained on so far
    seconds: float  # of training so far, without evaluations and checkpoints
    loss: float  # on the validation split, nats per token or per labelled document
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)  # such as "accuracy"


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run."""

    contestant: str  # its name in the recipe
    seed: int  # of initial weights and batches
    final_loss: float  # at the last step, as in `CurvePoint`; nan if the run diverged
    tokens: int  # trained on
    seconds: float  # of training, without evaluations and checkpoints
    curve: list[CurvePoint]  # all evaluations, step 0 included
    # of `describe_environment`; also num_processes, device, the model's wrapper, if it was compiled
    environment: dict[str, Any]
    # of a finished classifier over a whole split, such as "accuracy"; empty for language models
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics_split: str | None = None  # "test" where there is one

    @property
    def diverged_at(self) -> int | None:
        """The first step whose loss is not finite; None if all are."""
        return next((p.step for p in self.curve if not math.isfinite(p.loss)), None)


def open_folder(folder: Path, record: dict[str, Any], resume: bool) -> None:
    """Start a run's folder with its record, or with `resume` check that it holds this run."""
    if _is_free(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
    elif resume:
        check_folder(folder, record)
    else:
        raise UserError(
            f"the run folder {folder} exists: choose another with --output, or go on with --resume"
        )


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json: what a run is, and the environment that it began in."""
    write_sealed(folder / RECORD, record | {"environment": describe_environment()})


def check_folder(folder: Path, record: dict[str, Any]) -> None:
    """Refuse a folder unless it is missing, empty, or holds the run of this record."""
    if _is_free(folder):
        return
    if not folder.is_dir() or not (folder / RECORD).exists():
        raise UserError(f"{folder} exists and is not a run of latentwave: choose another --output")
    before, wanted = _comparable(read_record(folder)), _comparable(record)
    if before.get("corpus", {}).get("sha256") == wanted.get("corpus", {}).get("sha256"):
        # The corpus may lie in another folder now.
        before, wanted = (each | {"corpus": corpus_of(each)} for each in (before, wanted))
    changed = [
        key + differences(before.get(key), wanted.get(key))
        for key in before | wanted
        if before.get(key) != wanted.get(key)
    ]
    if changed:
        raise UserError(
            f"{folder} holds a run with another {' and '.join(changed)}: choose another --output, "
            "or resume with the recipe that started it"
        )


def _is_free(folder: Path) -> bool:
    """Whether a folder is missing, empty, or holds only a half-written record."""
    return not folder.exists() or (
        folder.is_dir() and {path.name for path in folder.iterdir()} <= {RECORD + PARTIAL}
    )


def read_record(folder: Path) -> dict[str, Any]:
    """The content of run.json; empty for a folder that only holds a model."""
    path = folder / RECORD
    if not path.exists():
        return {}
    return read_sealed(path, "restore it, or train again in another folder")


def differences(known: Any, wanted: Any) -> str:
    """The entries that differ, for error messages: " (learning_rate 0.008 there, 0.016 here)"."""
    if not isinstance(known, dict) or not isinstance(wanted, dict):
        return ""
    return f" ({', '.join(_changes(known, wanted))})"


def _changes(known: dict[str, Any], wanted: dict[str, Any], group: str = "") -> Iterator[str]:
    for key in known | wanted:
        there, here = known.get(key), wanted.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            yield from _changes(there, here, f"{group}{key}.")
        elif there != here:
            yield f"{group}{key} {there} there, {here} here"


def corpus_of(record: dict[str, Any]) -> dict[str, Any]:
    """A run's corpus and splits, without its path; empty if not recorded."""
    corpus: dict[str, Any] = record.get("corpus", {})
    config = {key: value for key, value in corpus.get("config", {}).items() if key != "path"}
    return corpus | {"config": config} if corpus else {}


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that stays the same when a run is resumed."""
    training = record.get("training", {}).items()
    lasting = {key: value for key, value in training if key not in TrainingConfig.EXECUTION}
    return {k: v for k, v in record.items() if k != "environment"} | {"training": lasting}


def read_result(folder: Path) -> RunResult:
    """Read a run's result; a UserError if it is missing, damaged or of another run."""
    path = folder / RESULT
    if not path.exists():
        raise UserError(f"{folder} holds no finished run: it has no {RESULT}")
    remedy = "remove it and go on with --resume, which trains again what is missing"
    values = read_sealed(path, remedy)
    if values.pop(_RUN, None) != digest(_comparable(read_record(folder))):
        raise UserError(f"{path} is not of the run that {RECORD} describes: {remedy}")
    try:
        result: RunResult = validated(values, RunResult)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error
    return result


def write_result(folder: Path, result: RunResult) -> None:
    """Write result.json, bound to the folder's run.json."""
    run = digest(_comparable(read_record(folder)))
    write_sealed(folder / RESULT, dataclasses.asdict(result) | {_RUN: run})


@contextlib.contextmanager
def owned_folder(folder: Path) -> Iterator[None]:
    """Lock a folder while a run trains into it, and remove what killed runs left half written.

    The lock of a process that dies is released.
    """
    try:
        lock = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is training in {folder}: wait for it, or stop it and go on with "
            "--resume"
        ) from None
    with lock:
        for parent in (folder, folder / CHECKPOINTS, folder / SNAPSHOTS):
            for path in parent.glob(f"*{PARTIAL}"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
