"""Let transformers' own classes restore mixers, for as long as you ask for it."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from latentwave.hub.attach import attach_from_config
from latentwave.hub.attached import is_attached
from latentwave.hub.configs import saved_mixers
from latentwave.hub.mixed_models import mix_models
from latentwave.mixers import Mixer

_LOCK = threading.Lock()
_PATCHED: dict[str, tuple[Any, Any]] = {}  # by method: the original and ours
_active: list["Registration"] = []


class Registration:
    """Returned by `register`; ends with its `with` block or `undo`."""

    def undo(self) -> None:
        """Restore transformers' own methods, unless another registration is still active.

        Existing models keep their mixers. Calling it twice is harmless.
        """
        with _LOCK:
            if self in _active:
                _active.remove(self)
            if not _active:
                for name, (original, ours) in _PATCHED.items():
                    if vars(PreTrainedModel)[name] is ours:  # otherwise someone else has wrapped it
                        setattr(PreTrainedModel, name, original)

    def __enter__(self) -> "Registration":
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()


def register() -> Registration:
    """Make all transformers model classes restore mixers, including `AutoModelForCausalLM`.

    While active, a model built from a configuration with mixers gets them at the end of its
    constructor, before weights are initialised or loaded, and transformers initialises them with
    their own `reset_parameters`. Tools that load models by name (the Trainer, pipelines,
    evaluation harnesses) then get them with mixers. `lw.from_pretrained` works without it.

    Two methods of `PreTrainedModel` are replaced for the whole process, in all threads; no code
    from a checkpoint is run.

    Returns:
        The registration: use it in a `with` statement, or call its `undo`.

    Example:
        >>> import latentwave as lw
        >>> from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=3, n_head=2)
        >>> model = lw.attach(GPT2LMHeadModel(config), "wavelet")
        >>> with lw.register():
        ...     again = AutoModelForCausalLM.from_config(model.config)
        >>> len(lw.hub.all_mixers(again))
        2
    """
    registration = Registration()
    with _LOCK:
        _active.append(registration)
        for name, wrap in (("post_init", _restoring), ("_initialize_weights", _initialising)):
            original = vars(PreTrainedModel)[name]
            if name not in _PATCHED or original is not _PATCHED[name][1]:
                ours = wrap(original)
                _PATCHED[name] = (original, ours)
                setattr(PreTrainedModel, name, ours)
    return registration


def _restoring(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def post_init(self: PreTrainedModel) -> Any:
        if _active:
            restore_mixers(self)
        return original(self)

    return post_init


def _initialising(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def initialize_weights(self: PreTrainedModel, module: nn.Module, *rest: Any) -> Any:
        if not _active or not isinstance(module, Mixer):
            return original(self, module, *rest)
        if not getattr(module, "_is_hf_initialized", False):
            initialise(module, lambda tensor: getattr(tensor, "_is_hf_initialized", False))
            module._is_hf_initialized = True  # type: ignore[assignment]
        return None

    return initialize_weights


def restore_mixers(model: PreTrainedModel) -> None:
    """Attach the mixers recorded in the configuration to a newly built model."""
    saved = saved_mixers(model)
    if saved is not None and is_attached(model):  # done by the constructor of a nested model
        mix_models(model)
    elif saved is not None:
        name = model.config.name_or_path
        attach_from_config(model, saved, f"config.json of {name}" if name else "configuration")


@torch.no_grad()
def initialise(mixer: Mixer, is_loaded: Callable[[Tensor], bool]) -> None:
    """Reset the tensors of a mixer, except those that were loaded."""
    tensors = [*mixer.parameters(), *mixer.buffers()]
    loaded = [(tensor, tensor.clone()) for tensor in tensors if is_loaded(tensor)]
    mixer.reset_parameters()
    for tensor, value in loaded:
        tensor.copy_(value)
