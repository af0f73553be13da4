"""What the mixers of a run looked like while it trained: their parameters at some evaluations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latentwave.bench.training.processes import on_main
from latentwave.errors import UserError
from latentwave.mixers import Mixer

FOLDER = "mixers"
MOST_SNAPSHOTS = 24


def snapshot_steps(num_steps: int, evaluate_every_steps: int) -> list[int]:
    """The steps whose mixers are kept: evaluations, dense at first, at most `MOST_SNAPSHOTS`.

    The first and the last evaluation are among them; between them distances grow like those of
    a geometric series, since filters move most at the beginning.

    Args:
        num_steps: of the run.
        evaluate_every_steps: distance of its evaluations.

    Returns:
        Ascending steps.

    Example:
        >>> snapshot_steps(40, 10)
        [0, 10, 20, 30, 40]
        >>> steps = snapshot_steps(100_000, 100)
        >>> len(steps), steps[:5], steps[-2:]
        (24, [0, 100, 200, 300, 400], [74200, 100000])
    """
    last = num_steps // evaluate_every_steps
    if last < MOST_SNAPSHOTS:
        return [n * evaluate_every_steps for n in range(last + 1)]
    # The smallest growth that reaches the end in as many strides, each at least one evaluation.
    chosen = [0]
    while chosen[-1] < last:
        left = MOST_SNAPSHOTS - len(chosen)
        growth = (last / max(chosen[-1], 1)) ** (1 / left)
        chosen.append(min(last, max(chosen[-1] + 1, round(chosen[-1] * growth))))
    return [n * evaluate_every_steps for n in chosen]


def mixer_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters of all mixers, by their names in the model."""
    return {
        f"{prefix}.{name}" if prefix else name: parameter
        for prefix, module in model.named_modules()
        if isinstance(module, Mixer)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


class SnapshotCallback(TrainerCallback):
    """Writes `mixers/step-N.safetensors` into the folder of a run.

    Each file is there whole or not at all; runs whose mixers have no parameters get none. A
    resumed run removes what lies behind its checkpoint and writes it anew. All processes take
    part, because parameters that FSDP2 shards are gathered from them; the first one writes.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Remove what an interrupted run wrote after its checkpoint."""
        on_main(lambda: _remove_later(self._folder, state.global_step))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Keep the mixers if this evaluation is one of those that are kept."""
        if state.global_step not in snapshot_steps(state.max_steps, int(args.eval_steps or 1)):
            return
        parameters = mixer_parameters(kwargs["model"])
        if parameters:
            tensors = {name: _whole(parameter) for name, parameter in parameters.items()}
            on_main(lambda: _write(self._folder, state.global_step, tensors))


def list_snapshots(run: Path) -> dict[int, Path]:
    """The snapshots of a run by their steps, ascending; empty if it has none."""
    found = {
        int(path.stem.removeprefix("step-")): path
        for path in (run / FOLDER).glob("step-*.safetensors")
        if path.stem.removeprefix("step-").isdecimal()
    }
    return dict(sorted(found.items()))


def read_snapshot(path: Path) -> dict[str, Tensor]:
    """The parameters of one snapshot by their names in the model.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the snapshot {path} cannot be read ({error}): delete it to do without"
        ) from error


@torch.no_grad()
def _whole(parameter: nn.Parameter) -> Tensor:
    """A copy on the CPU; a sharded parameter is gathered, which all processes must do."""
    tensor = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
    return tensor.detach().to("cpu", copy=True).contiguous()


def _write(folder: Path, step: int, tensors: dict[str, Tensor]) -> None:
    path = folder / f"step-{step}.safetensors"
    partial = path.with_name(path.name + ".partial")
    try:
        folder.mkdir(exist_ok=True)
        with partial.open("wb") as file:
            file.write(save(tensors, metadata={"step": str(step)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; start again with --resume"
        ) from error


def _remove_later(folder: Path, step: int) -> None:
    for partial in folder.glob("*.partial"):
        partial.unlink()
    for later, path in list_snapshots(folder.parent).items():
        if later > step:
            path.unlink()
