"""Load models that were saved with mixers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from latentwave.errors import UserError
from latentwave.hub.quiet import quiet_transformers
from latentwave.hub.register import register_with_transformers

_AUTO_CLASSES = (AutoModelForCausalLM, AutoModelForAudioClassification)


def from_pretrained(path: str | Path, **options: Any) -> PreTrainedModel:
    """Load a model from a folder that `save_pretrained` wrote, with its mixers.

    It is `from_pretrained` of the class that was saved, strictly: every weight must find its
    place. No code of the folder is run, and weights are read from safetensors only.

    Args:
        path: the folder, with config.json and safetensors weights.
        **options: of transformers' `from_pretrained`, such as `dtype`, `device_map` or
            `attn_implementation`.

    Returns:
        The model in eval mode, by default on the CPU and in the precision that was saved; mixers
        are attached if the configuration has any.

    Raises:
        UserError: if the folder, its configuration or its weights are missing, damaged, or do
            not fit each other; the message names the weights.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a saved model: it has no config.json")
    for name in ("trust_remote_code", "use_safetensors", "output_loading_info"):
        if name in options:
            raise UserError(f"from_pretrained takes no {name}: it is fixed for safety")
    _check_weights(folder)
    register_with_transformers()
    # What does not fit is raised, so it need not be logged as well.
    with quiet_transformers():
        loaded, info = _class(folder).from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, all at once
            **options,
        )
    model: PreTrainedModel = loaded
    wrong = [
        f"{name}: saved {tuple(saved)}, model {tuple(own)}"
        for name, saved, own in sorted(info["mismatched_keys"])
    ]
    if wrong:
        raise UserError(f"the weights in {folder} do not fit the model: {'; '.join(wrong)}")
    # Models that were saved before it stood there lack nothing.
    missing = sorted(n for n in info["missing_keys"] if not n.endswith(".format_version"))
    unexpected = sorted(info["unexpected_keys"])
    if missing or unexpected:
        raise UserError(
            f"the weights in {folder} do not fit the model: "
            f"missing {missing or 'none'}, unexpected {unexpected or 'none'}"
        )
    return model


def _class(folder: Path) -> Any:
    """The class that was saved, a causal language model if the configuration does not say."""
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder / 'config.json'} is no configuration of a model: {said}"
        ) from error
    for name in config.architectures or ():
        cls = _registered(config).get(name) or getattr(transformers, name, None)
        if isinstance(cls, type) and issubclass(cls, PreTrainedModel):
            return cls
    return AutoModelForCausalLM


def _registered(config: PretrainedConfig) -> dict[str, type]:
    """Classes that others have registered for the configuration's class, by their names."""
    found: list[Any] = [auto._model_mapping.get(type(config), None) for auto in _AUTO_CLASSES]
    return {cls.__name__: cls for cls in found if isinstance(cls, type)}


def _check_weights(folder: Path) -> None:
    """Refuse what is damaged or leads elsewhere before anything is built."""
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    names = [SAFE_WEIGHTS_NAME]
    try:
        if not (folder / SAFE_WEIGHTS_NAME).is_file() and index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        for name in names:
            if Path(name).name != name:
                raise UserError(f"{index} names a file outside its folder: {name!r}")
            with safe_open(folder / name, framework="pt") as weights:
                if not weights.keys():
                    raise UserError(f"{folder / name} holds no weights")
    except FileNotFoundError as error:
        raise UserError(f"{folder} lacks the weights file {error.filename or names}") from error
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the weights in {folder} are damaged: {error}") from error
