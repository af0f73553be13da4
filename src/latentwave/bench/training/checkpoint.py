"""Checkpoints: whole or not there, checked before use, for any number of processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from latentwave.bench.data.folders import whole_folder
from latentwave.bench.training.optimizers import state_tensors
from latentwave.bench.training.processes import num_processes, on_all, on_main, rank
from latentwave.errors import UserError

MANIFEST = "manifest.json"
SCHEDULER = "scheduler.json"
KEPT = 2


def save_checkpoint(
    run: Path,
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    state: TrainerState,
    *,
    keep: Sequence[int] = (),
) -> Path:
    """Write checkpoint-STEP of a run and remove all but the last two and those to keep.

    Every process writes its own part as safetensors. The folder gets its name when all files are
    on the disk and their SHA-256 stand in manifest.json; whatever fails before leaves the
    checkpoints that were there.

    Args:
        run: folder of the run.
        model: whole or sharded.
        optimizer: on its parameters, see `make_optimizer`.
        scheduler: of the learning rate.
        state: of the Trainer; says the step.
        keep: steps whose checkpoints are not removed.

    Returns:
        The checkpoint.

    Raises:
        UserError: if the disk refuses, on every process.
    """
    folder = run / "checkpoints" / f"checkpoint-{state.global_step}"
    tensors = _model_tensors(model) | _named_state(model, state_tensors(optimizer))
    try:
        with contextlib.ExitStack() as stack:
            partial = on_main(lambda: _begin(stack, folder))
            with _single_process_is_fine(), _plain_errors():
                save(
                    tensors,
                    storage_writer=HuggingFaceStorageWriter(str(partial), save_distributed=True),
                )
            on_all(lambda: (partial / _rng_name()).write_bytes(to_bytes(_rng_tensors())))
            on_main(lambda: _write_texts(partial, scheduler, state))
            sums = on_all(lambda: _checksums(sorted(partial.iterdir())[rank() :: num_processes()]))
            on_main(lambda: _end(stack, partial, sums, state.global_step))
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; {resume_hint(run)}"
        ) from error
    on_main(lambda: _remove_older(run, state.global_step, keep))
    return folder


def load_checkpoint(
    checkpoint: Path, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler
) -> None:
    """Put a checkpoint into a model, its optimizer and its scheduler, in place.

    The number of processes and their engine may differ from those that wrote it.

    Raises:
        UserError: if it does not fit.
    """
    kept = state_tensors(optimizer)
    try:
        with _single_process_is_fine(), _plain_errors():
            load(
                _model_tensors(model) | _named_state(model, kept),
                storage_reader=HuggingFaceStorageReader(str(checkpoint)),
            )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{checkpoint} does not fit this run: {error}") from error
    scheduler.load_state_dict(json.loads((checkpoint / SCHEDULER).read_text()))
    saved: dict[str, Any] = optimizer.state_dict()
    step = torch.tensor(float(scheduler.last_epoch))
    saved["state"] = {
        index: (tensors if "momentum_buffer" in tensors else {"step": step.clone()} | tensors)
        for index, tensors in enumerate(kept.values())
    }
    for group, rate in zip(saved["param_groups"], scheduler.get_last_lr(), strict=True):
        group["lr"] = rate
    optimizer.load_state_dict(saved)


def load_rng(checkpoint: Path, seed: int) -> None:
    """Go on with the checkpoint's random numbers, which only dropout needs.

    With another number of processes they start afresh, as they do for another process.
    """
    path = checkpoint / _rng_name()
    if num_processes() != _manifest(checkpoint)["num_processes"] or not path.is_file():
        torch.manual_seed(seed + 1_000_003 * checkpoint_step(checkpoint) + rank())
        return
    states = load_file(path)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def newest_checkpoint(run: Path) -> Path | None:
    """The newest intact checkpoint of a run, None if it has none at all.

    Every file is compared with its SHA-256. A damaged checkpoint is passed over with a warning
    that names it and the one that is taken instead.

    Raises:
        UserError: if there are checkpoints, and all of them are damaged.
    """
    faults: list[str] = []
    for checkpoint in list_checkpoints(run):
        fault = find_fault(checkpoint)
        if fault is None:
            if faults:
                warnings.warn(
                    f"{'; '.join(faults)}; going on from {checkpoint} instead", stacklevel=2
                )
            return checkpoint
        faults.append(f"{checkpoint} is damaged ({fault})")
    if faults:
        raise UserError(
            f"no checkpoint of this run is intact: {'; '.join(faults)}; to start again from the "
            f"first step, delete {run / 'checkpoints'}"
        )
    return None


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, newest first; those that were not finished have other names."""
    found = [
        path
        for path in (run / "checkpoints").glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdecimal()
    ]
    return sorted(found, key=checkpoint_step, reverse=True)


def find_fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, None if nothing is."""
    try:
        manifest = _manifest(checkpoint)
        if manifest["sha256"] != _own_checksum(manifest):
            return f"{MANIFEST} has changed since it was written"
        for name, expected in manifest["files"].items():
            path = checkpoint / Path(name).name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != expected["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, not {expected['bytes']}"
            if _sha256(path) != expected["sha256"]:
                return f"{name} has changed since it was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST}: {error}"
    return None


def check_checkpoint(checkpoint: Path) -> None:
    """See that a checkpoint to start from is there and intact.

    Raises:
        UserError: if it is not.
    """
    fault = find_fault(checkpoint)
    if fault is not None:
        raise UserError(f"cannot start from {checkpoint}: it is damaged or missing ({fault})")


def resume_hint(run: Path) -> str:
    """What to do after a run was cut off."""
    found = list_checkpoints(run)
    if not found:
        return "it has no checkpoint yet: start it again with --resume"
    return f"the last checkpoint is {found[0]}: start again with --resume to go on from there"


def _model_tensors(model: nn.Module) -> dict[str, Any]:
    """Parameters, each once under its first name, and buffers that are saved."""
    names = [name for name, _ in model.named_parameters()]
    names += [name for name, _ in model.named_buffers()]
    saved = model.state_dict()
    return {f"model.{name}": saved[name] for name in names if name in saved}


def _named_state(model: nn.Module, kept: dict[nn.Parameter, dict[str, Tensor]]) -> dict[str, Any]:
    """The optimizer's tensors by the names of their parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"optimizer.{names[parameter]}.{key}": tensor
        for parameter, tensors in kept.items()
        for key, tensor in tensors.items()
    }


def _rng_name() -> str:
    # Safetensors too, under a name that the reader of the sharded tensors leaves alone.
    return f"rng-{rank()}.st"


def _rng_tensors() -> dict[str, Tensor]:
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return tensors


def _begin(stack: contextlib.ExitStack, folder: Path) -> Path:
    # What bears this name already is damaged, or from before the run went back to an older one.
    if folder.exists():
        shutil.rmtree(folder)
    return stack.enter_context(whole_folder(folder))


def _write_texts(partial: Path, scheduler: LRScheduler, state: TrainerState) -> None:
    (partial / SCHEDULER).write_text(json.dumps(scheduler.state_dict()))
    state.save_to_json(str(partial / TRAINER_STATE_NAME))


def _end(stack: contextlib.ExitStack, partial: Path, sums: list[dict[str, Any]], step: int) -> None:
    files = {name: entry for part in sums for name, entry in part.items()}
    manifest = {"step": step, "num_processes": num_processes(), "files": files}
    manifest["sha256"] = _own_checksum(manifest)
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2))
    stack.pop_all().close()


def _remove_older(run: Path, step: int, keep: Sequence[int]) -> None:
    older = [p for p in list_checkpoints(run) if checkpoint_step(p) <= step]
    for checkpoint in older[KEPT:]:
        if checkpoint_step(checkpoint) not in keep:
            shutil.rmtree(checkpoint, ignore_errors=True)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _manifest(checkpoint: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_text())
    return manifest


def _own_checksum(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _checksums(paths: list[Path]) -> dict[str, dict[str, Any]]:
    return {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in paths}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _single_process_is_fine() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise what went wrong itself, not the report that torch makes of all processes."""
    try:
        yield
    except CheckpointException as report:
        failures = [failure for failure, _ in report.failures.values()]
        kinds = (OSError, ValueError, KeyError)
        plain = next((f for f in failures if isinstance(f, kinds)), None)
        raise plain or RuntimeError(str(failures[0])) from report
