"""Load models that were saved with mixers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from latentwave.errors import UserError
from latentwave.hub.attach import CONFIG_NAME, attach_from_config


def from_pretrained(path: str | Path) -> PreTrainedModel:
    """Load a model from a folder that `save_pretrained` wrote, with its mixers.

    Args:
        path: the folder, with config.json and safetensors weights. No code of the folder is run.

    Returns:
        The model in eval mode, on the CPU, in the precision that was saved; mixers are attached
        if the configuration has any.

    Raises:
        UserError: if the folder, its configuration or its weights are missing, damaged, or do
            not fit each other; the message names the weights.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a saved model: it has no config.json")
    config = AutoConfig.from_pretrained(folder)
    weights = _read_weights(folder)
    first = next(iter(weights.values()))
    model = cast(
        PreTrainedModel,
        AutoModelForCausalLM.from_config(config, dtype=first.dtype),  # type: ignore[no-untyped-call]
    )
    saved = getattr(config, CONFIG_NAME, None)
    if saved is not None:
        delattr(model.config, CONFIG_NAME)  # attach writes it again
        attach_from_config(model, saved)

    wrong = [
        f"{name}: saved {tuple(weights[name].shape)}, model {tuple(tensor.shape)}"
        for name, tensor in model.state_dict().items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if wrong:
        raise UserError(f"the weights in {folder} do not fit the model: {'; '.join(wrong)}")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    model.tie_weights()
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    missing = [name for name in missing if name not in tied]
    if missing or unexpected:
        raise UserError(
            f"the weights in {folder} do not fit the model: "
            f"missing {missing or 'none'}, unexpected {unexpected or 'none'}"
        )
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    model.train(False)
    return model


def _read_weights(folder: Path) -> dict[str, Tensor]:
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    try:
        if index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        else:
            names = [SAFE_WEIGHTS_NAME]
        weights: dict[str, Tensor] = {}
        for name in names:
            if Path(name).name != name:
                raise UserError(f"{index} names a file outside its folder: {name!r}")
            weights.update(load_file(folder / name))
    except FileNotFoundError as error:
        raise UserError(f"{folder} lacks the weights file {error.filename or names}") from error
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise UserError(f"the weights in {folder} are damaged: {error}") from error
    if not weights:
        raise UserError(f"{folder} holds no weights")
    return weights
