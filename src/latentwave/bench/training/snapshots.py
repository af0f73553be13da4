"""Saves the mixers' parameters at some evaluations of a run, for `latentwave inspect`."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerState

from latentwave import hub
from latentwave.bench.data.folders import write_durably
from latentwave.bench.training.checkpoint import whole_tensor
from latentwave.bench.training.files import SNAPSHOTS
from latentwave.bench.training.processes import is_main
from latentwave.errors import UserError

MOST_SNAPSHOTS = 24


def snapshot_steps(num_steps: int, evaluate_every_steps: int) -> list[int]:
    """The evaluations whose mixers are kept, at most `MOST_SNAPSHOTS`, first and last included.

    The steps between them grow geometrically, as filters move most at the beginning.

    Example:
        >>> snapshot_steps(40, 10)
        [0, 10, 20, 30, 40]
        >>> steps = snapshot_steps(100_000, 100)
        >>> len(steps), steps[:5], steps[-2:]
        (23, [0, 100, 200, 300, 400], [73100, 100000])
    """
    last = num_steps // evaluate_every_steps
    if last < MOST_SNAPSHOTS:
        return [n * evaluate_every_steps for n in range(last + 1)]
    chosen = {0, *np.geomspace(1, last, MOST_SNAPSHOTS - 1).round().astype(int).tolist()}
    return [n * evaluate_every_steps for n in sorted(chosen)]


def mixer_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters of all mixers, by their names in the model."""
    of_mixers = {id(parameter) for parameter in hub.mixer_parameters(model)}
    named = model.named_parameters()
    return {name: p for name, p in named if id(p) in of_mixers and p.requires_grad}


class SnapshotCallback(TrainerCallback):
    """Writes mixers/step-N.safetensors; nothing for mixers without parameters.

    All processes take part, to gather what FSDP2 shards; the first one writes. A resumed run
    removes the snapshots after its checkpoint and writes them again.
    """

    def __init__(self, run: Path) -> None:
        self._run = run

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Remove snapshots from after the checkpoint."""
        if is_main():
            for step, path in list_snapshots(self._run).items():
                if step > state.global_step:
                    path.unlink()

    def on_evaluate(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Write a snapshot if this step has one."""
        if state.global_step not in snapshot_steps(state.max_steps, int(args.eval_steps or 1)):
            return
        parameters = mixer_parameters(kwargs["model"])
        tensors = {name: whole_tensor(parameter) for name, parameter in parameters.items()}
        if tensors and is_main():
            path = self._run / SNAPSHOTS / f"step-{state.global_step}.safetensors"
            path.parent.mkdir(exist_ok=True)
            write_durably(path, save(tensors, metadata={"step": str(state.global_step)}))


def list_snapshots(run: Path) -> dict[int, Path]:
    """The snapshots of a run by step, ascending."""
    files = (run / SNAPSHOTS).glob("step-*.safetensors")
    numbered = ((path.stem.removeprefix("step-"), path) for path in files)
    return dict(sorted((int(number), path) for number, path in numbered if number.isdecimal()))


def read_snapshot(path: Path) -> dict[str, Tensor]:
    """The parameters of one snapshot by their names in the model."""
    try:
        if not path.is_file():
            raise OSError("not a regular file")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the snapshot {path} cannot be read ({error}): delete it to do without"
        ) from error
