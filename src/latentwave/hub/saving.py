"""Save and load the mixers without the backbone, as adapters are."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.hub.attach import attach_from_config, detach
from latentwave.hub.attached import all_mixers, is_attached
from latentwave.hub.configs import saved_mixers
from latentwave.hub.decoder import find_decoder, without_adapters
from latentwave.mixers.constants import copy_whole, is_sharded

WEIGHTS_NAME = "mixers.safetensors"
DESCRIPTION_NAME = "mixers.json"
Model = TypeVar("Model", bound=nn.Module)


def save_mixers(model: nn.Module, path: str | Path) -> None:
    """Write the mixers of a model, without the backbone, into a folder: a few kilobytes.

    `mixers.safetensors` holds their tensors by layer and name, in their current precision;
    `mixers.json` describes the mixers and their positions. Existing files are replaced. If FSDP2
    has sharded the model, every process must call it, and the first one writes.

    Args:
        model: with mixers. If PEFT trains copies of them, those of the active adapter are written.
        path: the folder; created if needed.

    Raises:
        UserError: if the model has no mixers.
    """
    inner = without_adapters(model)
    entry = saved_mixers(inner)
    if entry is None or not is_attached(inner):
        raise UserError(
            f"this {type(inner).__name__} has no mixers to save: attach some, or save the model "
            "with its save_pretrained"
        )
    tensors = _tensors(inner)
    whole = {name: t.full_tensor() if is_sharded(t) else t for name, t in tensors.items()}
    if any(map(is_sharded, tensors.values())) and torch.distributed.get_rank():
        return
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in whole.items()}
    weights = save(whole, {"format": "pt"})
    digest = hashlib.sha256(weights).hexdigest()
    described = {**entry, "channels": _width(inner), "sha256": digest}
    # The description comes last, because it holds the hash of the weights.
    _replace(folder / WEIGHTS_NAME, weights)
    _replace(folder / DESCRIPTION_NAME, (json.dumps(described, indent=2) + "\n").encode())


def load_mixers(model: Model, path: str | Path) -> Model:
    """Load mixers that `save_mixers` wrote into a model with a backbone of the same shape.

    If FSDP2 has sharded the model, every process must call it.

    Args:
        model: without mixers, to attach them; or with mixers of the same kind, options and
            points, to replace their values. May be wrapped by PEFT.
        path: the folder.

    Returns:
        The same model; an error leaves it unchanged.

    Raises:
        UserError: if the files are missing or damaged, or do not fit the model; names the
            options, or the tensors and their shapes.
    """
    folder = Path(path)
    described, saved = _read(folder)
    inner = without_adapters(model)
    attached = is_attached(inner)
    if attached:
        entry = saved_mixers(inner) or {}
        _check_same(described, entry | {"channels": _width(inner)}, folder)
    else:
        attach_from_config(inner, described, str(folder / DESCRIPTION_NAME))
    try:
        tensors = _tensors(inner)
        check_fit(
            f"the mixers in {folder}",
            [
                (name, tensor.shape, tensors[name].shape)
                for name, tensor in saved.items()
                if name in tensors and tensor.shape != tensors[name].shape
            ],
            missing=tensors.keys() - saved.keys(),
            unexpected=saved.keys() - tensors.keys(),
        )
        width = _width(inner)
        if described.get("channels") != width:  # mixers without parameters have no shapes
            raise UserError(
                f"the mixers in {folder} do not fit the model: they were saved for width "
                f"{described.get('channels')}, it has {width}"
            )
    except UserError:
        if not attached:
            detach(inner)
        raise
    with torch.no_grad():
        for name, tensor in tensors.items():
            copy_whole(tensor, saved[name])
    return model


def _tensors(model: nn.Module) -> dict[str, Any]:
    """Parameters and buffers of the mixers, with names that do not depend on wrappers."""
    found = {
        f"{each.layer_index}.{each.name}.{name}": tensor
        for each in all_mixers(model)
        for name, tensor in each.mixer.state_dict(keep_vars=True).items()
    }
    if any(tensor.is_meta for tensor in found.values()):
        raise UserError(
            f"mixers of this {type(model).__name__} are on the meta device, because it is not "
            "loaded yet or accelerate has offloaded it: save and load them where it is in memory"
        )
    return found


def _width(model: nn.Module) -> int:
    """The number of channels between layers, which plain PyTorch models record in their entry."""
    entry = saved_mixers(model) or {}
    return int(entry["channels"]) if "channels" in entry else find_decoder(model).channels


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    description, weights_file = folder / DESCRIPTION_NAME, folder / WEIGHTS_NAME
    for file in (description, weights_file):
        if not file.is_file():
            raise UserError(f"{folder} was not written by save_mixers: there is no {file}")
    try:
        described = json.loads(description.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{description} is damaged: {error}") from error
    if not isinstance(described, dict) or "sha256" not in described:
        raise UserError(f"{description} is damaged, or not a file that save_mixers wrote")
    weights = weights_file.read_bytes()
    if hashlib.sha256(weights).hexdigest() != described.pop("sha256"):
        raise UserError(
            f"{weights_file} is damaged, or does not belong to {DESCRIPTION_NAME}: save the "
            "mixers again"
        )
    try:
        return described, load(weights)
    except SafetensorError as error:
        raise UserError(f"{weights_file} is damaged: {error}") from error


def _check_same(saved: Mapping[str, Any], attached: Mapping[str, Any], folder: Path) -> None:
    attached = json.loads(json.dumps(attached))  # JSON turns tuples into lists
    different = [
        f"{name}: saved {saved.get(name)!r}, model {attached.get(name)!r}"
        for name in sorted({*saved, *attached})
        if saved.get(name) != attached.get(name)
    ]
    if different:
        raise UserError(
            f"the mixers in {folder} differ from those attached ({'; '.join(different)}): "
            "call detach(model) first to replace them"
        )


def check_fit(
    what: str,
    mismatched: Iterable[tuple[str, Any, Any]],
    missing: Collection[str],
    unexpected: Collection[str],
) -> None:
    """Refuse saved tensors that the model cannot take; of mismatched ones, (name, saved, model)."""
    wrong = [
        f"{name}: saved {tuple(saved)}, model {tuple(expected)}"
        for name, saved, expected in sorted(mismatched)
    ]
    if not wrong and (missing or unexpected):
        wrong = [f"missing {sorted(missing) or 'none'}, unexpected {sorted(unexpected) or 'none'}"]
    if wrong:
        raise UserError(f"{what} do not fit the model: {'; '.join(wrong)}")


def _replace(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
