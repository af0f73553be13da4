"""Writes and restores a run's checkpoints, the same files for any number of processes.

The Trainer's own checkpoints hold pickles, depend on the engine and are not verified.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from latentwave.bench.data.folders import whole_folder
from latentwave.bench.training.files import CHECKPOINTS, find_fault, seal_folder
from latentwave.bench.training.optimizers import rewind_schedule, state_tensors
from latentwave.bench.training.processes import is_main, on_main
from latentwave.errors import UserError

TENSORS = "state.safetensors"
KEPT = 2


def save_checkpoint(
    run: Path,
    model: nn.Module,
    optimizer: Optimizer,
    state: TrainerState,
    *,
    keep: Sequence[int] = (),
) -> None:
    """Write checkpoint-STEP of a run and remove all but the last two and those to keep.

    All processes gather sharded tensors; the first one writes them as one safetensors file. A
    write that fails leaves the earlier checkpoints in place.
    """
    step = state.global_step
    folder = run / CHECKPOINTS / f"checkpoint-{step}"
    tensors = {}
    for name, tensor in _tensors(model, state_tensors(optimizer)).items():
        whole = whole_tensor(tensor)
        if is_main():
            tensors[name] = whole

    def write() -> None:
        # One of this step is damaged, or was passed by when the run went back to an older one.
        shutil.rmtree(folder, ignore_errors=True)
        with whole_folder(folder) as partial:
            save_file(tensors, partial / TENSORS)
            state.save_to_json(str(partial / TRAINER_STATE_NAME))
            seal_folder(partial)
        older = [path for path in list_checkpoints(run) if checkpoint_step(path) <= step]
        for path in older[KEPT:]:
            if checkpoint_step(path) not in keep:
                shutil.rmtree(path, ignore_errors=True)

    on_main(write)


def load_checkpoint(
    checkpoint: Path, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler
) -> None:
    """Restore a model, its optimizer and its scheduler from a checkpoint, in place.

    The number of processes and their engine may differ from those that wrote it.
    """
    states = state_tensors(optimizer)
    targets = _tensors(model, states)
    try:
        with safe_open(checkpoint / TENSORS, framework="pt") as file, torch.no_grad():
            names = set(file.keys())
            if names != targets.keys():
                odd = ", ".join(sorted(names ^ targets.keys())[:3])
                raise UserError(f"{checkpoint} does not fit this run: it differs in {odd} …")
            for name, tensor in targets.items():
                value = file.get_tensor(name)
                if isinstance(tensor, DTensor):
                    value = distribute_tensor(
                        value.to(tensor.device), tensor.device_mesh, tensor.placements
                    )
                tensor.copy_(value)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{checkpoint} does not fit this run: {error}") from error
    step = checkpoint_step(checkpoint)
    for parameter, tensors in states.items():
        if "momentum_buffer" not in tensors:  # AdamW counts its steps, Muon does not
            tensors["step"] = torch.tensor(float(step), device=parameter.device)
        optimizer.state[parameter] = tensors
    rewind_schedule(scheduler, step)


def newest_checkpoint(run: Path) -> Path | None:
    """The newest intact checkpoint of a run; None if it has no checkpoint.

    Every file is compared with its SHA-256. Damaged checkpoints are skipped with a warning.

    Raises:
        UserError: if all checkpoints are damaged.
    """
    faults: list[str] = []
    for checkpoint in list_checkpoints(run):
        fault = find_fault(checkpoint)
        if fault is None:
            if faults:
                reason = "; ".join(faults)
                warnings.warn(f"{reason}; going on from {checkpoint} instead", stacklevel=2)
            return checkpoint
        faults.append(f"{checkpoint} is damaged ({fault})")
    if faults:
        raise UserError(
            f"no checkpoint of this run is intact: {'; '.join(faults)}; to start again from the "
            f"first step, delete {run / CHECKPOINTS}"
        )
    return None


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, newest first; those half written have other names."""
    paths = (run / CHECKPOINTS).glob("checkpoint-*")
    complete = [path for path in paths if path.name.rpartition("-")[2].isdecimal()]
    return sorted(complete, key=checkpoint_step, reverse=True)


def resume_hint(run: Path) -> str:
    """How to go on after a run was cut off."""
    if not (found := list_checkpoints(run)):
        return "it has no checkpoint yet: start it again with --resume"
    return f"the last checkpoint is {found[0]}: start again with --resume to go on from there"


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


@torch.no_grad()
def whole_tensor(tensor: Tensor) -> Tensor:
    """A copy on the CPU; a sharded tensor is gathered, so all processes must call this."""
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().to("cpu", copy=True).contiguous()


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers on the CPU; tied ones stay the same tensor."""
    weights = model.state_dict(keep_vars=True)
    whole = {id(tensor): whole_tensor(tensor) for tensor in weights.values()}
    return {name: whole[id(tensor)] for name, tensor in weights.items()}


def _tensors(model: nn.Module, states: dict[nn.Parameter, dict[str, Tensor]]) -> dict[str, Tensor]:
    """What a checkpoint holds, by name: parameters (tied ones once), buffers, optimizer state."""
    saved, named = model.state_dict(), {p: name for name, p in model.named_parameters()}
    names = [*named.values(), *(name for name, _ in model.named_buffers())]
    found = {f"model.{name}": saved[name] for name in names if name in saved}
    for parameter, tensors in states.items():
        for key, tensor in tensors.items():
            found[f"optimizer.{named[parameter]}.{key}"] = tensor
    return found
