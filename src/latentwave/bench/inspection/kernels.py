"""Extracts the kernels of a model's mixers, with their history during training."""

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from latentwave.bench.inspection.spectra import centre_and_bandwidth, haar_taps, nearest_level
from latentwave.bench.training.snapshots import list_snapshots, read_snapshot
from latentwave.errors import UserError
from latentwave.hub.points import MIXER_NAME, point_of
from latentwave.mixers import Mixer
from latentwave.mixers.dynamic import DynamicMixer
from latentwave.mixers.filterbank import Bank


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernels:
    """The distinct kernels of one mixer, sorted by centre frequency, lowest first.

    A mixer that filters each channel by itself has one kernel per channel, from input to output,
    residual and gate included; equal ones are merged. If the taps depend on the token, they are
    those of a token of zeros. A filterbank's are its analysis filters. Tap 0 is on the current
    token, or on the newest that is read.
    """

    name: str  # of the mixer among the model's modules
    label: str  # the same in words
    kind: str  # of the mixer
    rows: str  # "channel" or "filter"
    indices: Int[np.ndarray, " N"]  # of each row, its first channel or filter
    row_of: Int[np.ndarray, " C"]  # the row of each mixed channel or filter
    taps: Float[np.ndarray, "N K"]  # as trained
    haar: Float[np.ndarray, "N K"]  # the Haar average of about the same length
    weights: Float[np.ndarray, " N"] | None  # a_m of a filterbank with fixed weights
    centre: Float[np.ndarray, " N"]  # frequency, cycles per token, see `centre_and_bandwidth`
    bandwidth: Float[np.ndarray, " N"]  # cycles per token
    causal: bool  # otherwise filters are centred on their token
    steps: Int[np.ndarray, " S"]  # of the snapshots; may be empty
    history: Float[np.ndarray, "S N K"]  # the taps at these steps

    @property
    def counts(self) -> Int[np.ndarray, " N"]:
        """The number of channels that share each kernel."""
        return np.bincount(self.row_of, minlength=len(self.indices))

    def change(self) -> Float[np.ndarray, "S N"]:
        """Each kernel's relative distance from its start, ‖h(s) − h(0)‖ / ‖h(0)‖."""
        start = np.linalg.norm(self.history[:1], axis=-1)
        moved = np.linalg.norm(self.history - self.history[:1], axis=-1)
        change: Float[np.ndarray, "S N"] = moved / np.where(start > 0, start, 1.0)
        return change

    def centre_history(self) -> Float[np.ndarray, "S N"]:
        """The centre frequency of each kernel at each step, cycles per token."""
        centre, _ = centre_and_bandwidth(self.history.reshape(-1, self.history.shape[-1]))
        return centre.reshape(self.history.shape[:2])


def named_mixers(model: nn.Module) -> dict[str, Mixer]:
    """The mixers of a model by module name, chains replaced by their parts."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Mixer)
        and not any(isinstance(inner, Mixer) for inner in module.modules() if inner is not module)
    }


def mixer_label(name: str) -> str:
    """A mixer's place in the model in words, layers counted from 1.

    Example:
        >>> mixer_label("transformer.h.0.latentwave_mixer")
        'after layer 1'
        >>> mixer_label("model.layers.11.latentwave_mixer_qkv_q_proj.mixers.1")
        'layer 12, qkv q_proj, part 2'
        >>> mixer_label("filter")
        'filter'
    """
    found = re.fullmatch(r"(?:.*\.)?(\d+)\.latentwave_mixer(_\w+)?(?:\..*?(\d+))?", name)
    if found is None:
        return name
    layer, where, part = found.groups()
    label = f"layer {int(layer) + 1}"
    if where is None:
        label = f"after {label}"
    else:
        point = point_of(f"{MIXER_NAME}{where}") or where[1:]
        label += f", {point}{where[1:].removeprefix(point).replace('_', ' ', 1)}"
    return f"{label}, part {int(part) + 1}" if part else label


def kernels_of(name: str, mixer: Mixer, run: Path | None = None) -> Kernels:
    """The distinct kernels of one mixer by centre frequency.

    Args:
        name: of the mixer among the model's modules.
        mixer: of any kind; unless it is a filterbank or dynamic, its `impulse_response()` is used.
        run: folder of the run with the snapshots of its training; None: no history.

    Raises:
        UserError: for a snapshot that is damaged or of another model.
    """
    snapshots = {} if run is None or not mixer.num_parameters else list_snapshots(run)
    past = [_mixer_at(mixer, name, path) for path in snapshots.values()]
    taps, is_bank = _taps(mixer), isinstance(mixer, Bank)
    weights = getattr(mixer, "weights", None) if is_bank else None
    history = np.zeros((len(past), *taps.shape))
    for step, then in enumerate(past):  # a recursive filter's length may have changed
        earlier = _taps(then)[:, : taps.shape[1]]
        history[step, :, : earlier.shape[1]] = earlier
    indices = row_of = np.arange(len(taps))
    if not is_bank:
        # Channels share a row if their kernels were equal at every step.
        together = np.concatenate([taps, *history], axis=1).astype(np.float32)
        _, indices, row_of = np.unique(together, axis=0, return_index=True, return_inverse=True)
    centre, bandwidth = centre_and_bandwidth(taps[indices])
    order = np.lexsort((indices, centre))
    rows = indices[order]
    return Kernels(
        name=name,
        label=mixer_label(name),
        kind=mixer.kind,
        rows="filter" if is_bank else "channel",
        indices=rows + (0 if is_bank else mixer.mixed_range[0]),
        row_of=np.argsort(order)[row_of.reshape(-1)],
        taps=taps[rows],
        haar=haar_taps(_levels(mixer, taps)[rows], taps.shape[1]),
        weights=None if weights is None else _array(weights)[rows],
        centre=centre[order],
        bandwidth=bandwidth[order],
        causal=getattr(mixer, "causal", True),
        steps=np.array(list(snapshots), dtype=np.int64),
        history=history[:, rows],
    )


def _taps(mixer: Mixer) -> Float[np.ndarray, "N K"]:
    if isinstance(mixer, Bank):
        return _array(mixer.analysis)
    if isinstance(mixer, DynamicMixer):
        zeros = next(mixer.parameters()).new_zeros(1, 1, mixer.channels)
        taps = _array(mixer.added_kernels(zeros)[0, 0].T)
        taps[:, 0] += 1.0  # the residual
        return taps
    start, stop = mixer.mixed_range
    return _array(mixer.impulse_response()[start:stop])


def _levels(mixer: Mixer, taps: Float[np.ndarray, "N K"]) -> Int[np.ndarray, " N"]:
    """The Haar level of each row, by construction or else the nearest."""
    levels: Any = getattr(mixer, "levels", None)
    if isinstance(mixer, Bank):
        sizes = np.repeat(mixer.kernel_sizes, mixer.num_filters // len(mixer.kernel_sizes))
        levels = np.round(np.log2(sizes))
    return nearest_level(taps) if levels is None else np.asarray(levels, dtype=np.int64)


@torch.no_grad()
def _mixer_at(mixer: Mixer, name: str, path: Path) -> Mixer:
    """The mixer as it was at a snapshot."""
    saved = read_snapshot(path)
    then = copy.deepcopy(mixer)
    for parameter_name, parameter in then.named_parameters():
        tensor = saved.get(f"{name}.{parameter_name}")
        if tensor is None or tensor.shape != parameter.shape:
            raise UserError(
                f"the snapshot {path} is of another model: it has no {name}.{parameter_name} of "
                f"shape {tuple(parameter.shape)}; delete the folder {path.parent} to do without"
            )
        parameter.copy_(tensor)
    return then


def _array(tensor: Tensor) -> Float[np.ndarray, "*shape"]:
    return tensor.detach().cpu().double().numpy()
