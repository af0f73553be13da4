"""The folder of a run: what it is, and what came out."""

from __future__ import annotations

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
_RUN = "run_sha256"  # in a result: of what run.json says that the run is


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One evaluation.

    Attributes:
        step: optimizer steps so far.
        tokens: tokens trained on so far.
        seconds: time spent training so far, without evaluations and checkpoints; nan where a run
            that diverged did not come to.
        loss: validation loss, nats per token or per labelled document; nan from the step on at
            which a run diverged.
        metrics: what else was measured, such as "accuracy".
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        contestant: its name in the recipe.
        seed: of initial weights and batches.
        final_loss: validation loss at the last step, nats per token or labelled document; nan if
            the run diverged.
        tokens: trained on.
        seconds: spent training, without evaluations and checkpoints.
        curve: all evaluations, step 0 included; nan where a run that diverged did not come to.
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

    @property
    def diverged_at(self) -> int | None:
        """The step at which the loss was first found not to be finite; None if it always was."""
        return next((p.step for p in self.curve if not math.isfinite(p.loss)), None)


def open_folder(folder: Path, record: dict[str, Any], resume: bool) -> None:
    """Start the folder of a run with run.json, or see that it holds this very run."""
    if _is_free(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
        return
    if not resume:
        raise UserError(
            f"the run folder {folder} exists: choose another with --output, or go on with --resume"
        )
    check_folder(folder, record)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Say in run.json what a run is, and where it began."""
    write_sealed(folder / RECORD, record | {"environment": describe_environment()})


def check_folder(folder: Path, record: dict[str, Any]) -> None:
    """See that the folder of a run is missing, empty, or holds this very run."""
    if _is_free(folder):
        return
    if not folder.is_dir() or not (folder / RECORD).exists():
        raise UserError(f"{folder} exists and is not a run of latentwave: choose another --output")
    before, wanted = _comparable(read_record(folder)), _comparable(record)
    if before.get("corpus", {}).get("sha256") == wanted.get("corpus", {}).get("sha256"):
        # It may have moved.
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
    """Whether nothing is there yet, or no more than a record that a kill cut off."""
    return not folder.exists() or (
        folder.is_dir() and {path.name for path in folder.iterdir()} <= {RECORD + PARTIAL}
    )


def read_record(folder: Path) -> dict[str, Any]:
    """What run.json says that a run is; empty for a model that was only saved."""
    path = folder / RECORD
    if not path.exists():
        return {}
    return read_sealed(path, "restore it, or train again in another folder")


def differences(known: Any, wanted: Any) -> str:
    """Which entries differ, for people: " (learning_rate 0.008 there, 0.016 here)"."""
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
    """What a run was trained on and how it was split, wherever it lay; empty if not recorded."""
    corpus: dict[str, Any] = record.get("corpus", {})
    config = {key: value for key, value in corpus.get("config", {}).items() if key != "path"}
    return corpus | {"config": config} if corpus else {}


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may change from one process to the next."""
    training = record.get("training", {}).items()
    lasting = {key: value for key, value in training if key not in TrainingConfig.EXECUTION}
    return {k: v for k, v in record.items() if k != "environment"} | {"training": lasting}


def read_result(folder: Path) -> RunResult:
    """A finished run; a UserError if there is none, or one that is damaged or of another run."""
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
    """Write result.json when a run has ended."""
    run = digest(_comparable(read_record(folder)))
    write_sealed(folder / RESULT, dataclasses.asdict(result) | {_RUN: run})


@contextlib.contextmanager
def owned_folder(folder: Path) -> Iterator[None]:
    """Own an existing folder while a run trains into it; a process that dies gives it up.

    What killed writes left in it is removed, for nobody else is writing.
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
