"""Load models that were saved with mixers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from latentwave.errors import UserError
from latentwave.hub.attached import all_mixers
from latentwave.hub.register import initialise, restore_mixers
from latentwave.hub.saving import check_fit

# Implementations built into transformers; others may be code fetched from the Hub.
_BUILT_IN_IMPLEMENTATIONS = (None, "eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm")
_AUTO_CLASSES = (AutoModelForCausalLM, AutoModelForAudioClassification)
# Options that locate files, for the configuration as well as the weights.
_LOCATION = {"cache_dir", "force_download", "local_files_only", "proxies", "revision"}
_LOCATION |= {"subfolder", "token"}


def from_pretrained(path: str | Path, **options: Any) -> Any:
    """Load a model with its mixers, from a `save_pretrained` folder or from the Hub.

    This runs the saved class's `from_pretrained`, strictly: missing, unexpected or mismatched
    weights are an error. Nothing is patched, so models built in other threads are unaffected
    (but transformers itself loads one model at a time per process). No code from the checkpoint
    is run, and weights are read from safetensors only.

    Args:
        path: the folder, or a model id on the Hub.
        **options: options of transformers' `from_pretrained`, such as `dtype`, `device_map`,
            `revision`, `token` or `attn_implementation`. Three relax the check of weights:
            `ignore_mismatched_sizes=True` initialises mismatched ones; a `config` with mixers adds
            them to a plain model; `output_loading_info=True` returns the names of missing and
            unexpected ones instead of raising.

    Returns:
        The model in eval mode, by default on the CPU and in the saved precision, with mixers if
        the configuration has any. With `output_loading_info=True`, the model and transformers'
        loading info.

    Raises:
        UserError: if the folder, its configuration or its weights are missing, damaged or
            inconsistent, naming the weights; for `trust_remote_code` and weights other than
            safetensors.
    """
    if options.pop("trust_remote_code", False):
        raise UserError(
            "from_pretrained does not run checkpoint code: instead of trust_remote_code=True, load "
            "the model with transformers, then use load_mixers"
        )
    if options.pop("use_safetensors", True) is False or options.get("gguf_file") is not None:
        raise UserError(
            "from_pretrained reads safetensors only: drop use_safetensors=False and gguf_file"
        )
    folder = Path(path, options.get("subfolder") or "")
    num_tensors = None
    if folder.is_dir():
        if options.get("variant") is None:
            num_tensors = _check_weights(folder)
    elif Path(path).is_absolute() or len(Path(path).parts) > 2:
        raise UserError(f"{folder} is not a saved model: it has no config.json")
    with_info = options.pop("output_loading_info", False)
    ignore_mismatched = options.pop("ignore_mismatched_sizes", False)
    config = _config(path, options)
    _refuse_kernels(path, config, options)
    layers = getattr(config, "num_hidden_layers", None)
    if num_tensors is not None and isinstance(layers, int) and layers > num_tensors:
        raise UserError(
            f"config.json of {path} declares {layers} layers, but its weights hold only "
            f"{num_tensors} tensors: one of the files is damaged"
        )
    cls = _class(path, config)
    load: Any = _restoring(cls).from_pretrained
    try:
        model, info = load(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # checked below, all at once
            **options,
        )
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path} cannot be loaded: {_short(error)}") from error
    mismatched = info["mismatched_keys"]
    new = _initialise_missing(model, {*info["missing_keys"], *(name for name, *_ in mismatched)})
    mismatched = set() if ignore_mismatched else mismatched
    missing, unexpected = set(info["missing_keys"]), info["unexpected_keys"]
    if with_info:
        missing, unexpected = set(), set()
    elif options.get("config") is not None:
        missing -= new
    elif new and missing >= _tensors_of_mixers(model).keys():
        raise UserError(
            f"the configuration of {path} has mixers, but its weights have none: it was "
            "saved with a configuration shared with another model. Pass config= without the "
            'entry "latentwave" to load it plain, or with it to attach new mixers'
        )
    check_fit(f"the weights in {path}", mismatched, missing, unexpected)
    return (model, info) if with_info else model


def _restoring(cls: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """A subclass whose constructor attaches the mixers and then sets the class back to `cls`."""

    def build(self: PreTrainedModel, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        cls.__init__(self, config, *args, **options)
        self.__class__ = cls
        restore_mixers(self)

    named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__init__": build}
    return type(cls.__name__, (cls,), named)


def _tensors_of_mixers(model: PreTrainedModel) -> dict[str, Any]:
    ours = {
        id(tensor)
        for each in all_mixers(model)
        for tensor in (*each.mixer.parameters(), *each.mixer.buffers())
    }
    named = model.state_dict(keep_vars=True).items() if ours else ()
    return {name: tensor for name, tensor in named if id(tensor) in ours}


def _initialise_missing(model: PreTrainedModel, names: set[str]) -> set[str]:
    """Initialise mixer tensors that were not loaded; returns their names."""
    missing = {name: id(t) for name, t in _tensors_of_mixers(model).items() if name in names}
    for each in all_mixers(model) if missing else ():
        initialise(each.mixer, lambda tensor: id(tensor) not in missing.values())
    return set(missing)


def _config(path: str | Path, options: Mapping[str, Any]) -> PretrainedConfig:
    config = options.get("config")
    if isinstance(config, PretrainedConfig):
        return config
    location = {name: options[name] for name in _LOCATION if name in options}
    try:
        found: PretrainedConfig = AutoConfig.from_pretrained(
            config or path, trust_remote_code=False, **location
        )
    except Exception as error:
        raise UserError(
            f"{path} has no model configuration (config.json): {_short(error)}"
        ) from error
    return found


def _refuse_kernels(path: str | Path, config: PretrainedConfig, options: Mapping[str, Any]) -> None:
    """Refuse checkpoints that ask for kernels, which may be code from the Hub."""
    for kind in ("attn_implementation", "experts_implementation"):
        name = getattr(config, f"_{kind}", None)
        if name not in _BUILT_IN_IMPLEMENTATIONS and not isinstance(options.get(kind), str):
            raise UserError(
                f"config.json of {path} asks for the {kind} {name!r}, which may be code to "
                f"download: pass {kind} to choose one yourself"
            )
    for part in vars(config).values():
        if isinstance(part, PretrainedConfig):
            _refuse_kernels(path, part, options)


def _class(path: str | Path, config: PretrainedConfig) -> Any:
    """The saved class; a causal language model if the configuration names none."""
    found: list[Any] = [auto._model_mapping.get(type(config), None) for auto in _AUTO_CLASSES]
    # transformers has a tuple of classes for some configurations.
    registered = {cls.__name__: cls for cls in found if isinstance(cls, type)}
    for name in config.architectures or ():
        cls = registered.get(name) or getattr(transformers, name, None)
        if isinstance(cls, type) and issubclass(cls, PreTrainedModel):
            return cls
    if found[0] is None:
        raise UserError(f"{path} is a {config.model_type!r}, which cannot generate text")
    return found[0]


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _check_weights(folder: Path) -> int:
    """Refuse damaged files and files outside the folder; returns the number of tensors."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a saved model: it has no config.json")
    if (folder / "adapter_config.json").exists():
        raise UserError(
            f"{folder} holds an adapter (adapter_config.json) for another model: load that model, "
            "then the adapter with PEFT"
        )
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    names, count = [SAFE_WEIGHTS_NAME], 0
    try:
        if not (folder / SAFE_WEIGHTS_NAME).is_file() and index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        for name in names:
            if Path(name).name != name:
                raise UserError(f"{index} names a file outside its folder: {name!r}")
            with safe_open(folder / name, framework="pt") as weights:
                if not weights.keys():
                    raise UserError(f"{folder / name} holds no weights")
                count += len(weights.keys())
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no weights file {error.filename or names}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the weights in {folder} are damaged: {_short(error)}") from error
    return count
