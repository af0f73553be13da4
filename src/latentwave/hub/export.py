"""Prepare models with mixers for `torch.export`, with the state that decoding needs."""

from typing import Any

import torch
from torch import nn
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import StaticLayer

from latentwave.errors import UserError
from latentwave.hub.attached import is_attached
from latentwave.hub.cache import MixerStates, cache_argument
from latentwave.hub.decoder import eval_mode


def prepare_export(module: nn.Module) -> None:
    """Let an exported program decode with mixers: their state becomes buffers of the module.

    Programs that decode token by token are exported from a module with a static cache in its
    buffers, such as transformers' `TorchExportableModuleForDecoderOnlyLM`, for ExecuTorch among
    others. Call this once between building such a module and exporting it; the mixers' state is
    then kept beside the keys and values, and starts over at position 0. Programs without a cache
    need no preparation.

    Args:
        module: holds a transformers model with mixers and, as an attribute, an initialised
            `StaticCache`. Its cache is left empty.

    Raises:
        UserError: if the module has no model with mixers, or not one such cache.

    Example:
        A program that takes one token a call (docs/bring-your-model.md runs one)::

            module = TorchExportableModuleForDecoderOnlyLM(model, batch_size=1, max_cache_len=64)
            latentwave.prepare_export(module)
            first = {"input_ids": torch.tensor([[1]]), "cache_position": torch.tensor([0])}
            program = module.export(**first)
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"prepare_export needs the module to export, got {module!r}")
    name = type(module).__name__
    model = next(
        (m for m in module.modules() if isinstance(m, PreTrainedModel) and is_attached(m)), None
    )
    if model is None:
        raise UserError(f"{name} holds no transformers model with mixers: attach them first")
    caches: list[tuple[nn.Module, Any]] = [
        (holder, value)
        for holder in module.modules()
        for value in vars(holder).values()
        if isinstance(value, Cache)
    ]
    if len(caches) != 1:
        raise UserError(f"{name} must hold one static cache, got {len(caches)}")
    ((holder, cache),) = caches
    static: list[Any] = [each for each in cache.layers if isinstance(each, StaticLayer)]
    if not static or not static[0].is_initialized:
        raise UserError(
            f"the cache of {name} must be a StaticCache after its early_initialization, got a "
            f"{type(cache).__name__}{' before it' if static else ''}"
        )
    token = torch.zeros(len(static[0].keys), 1, dtype=torch.int64, device=model.device)
    with torch.no_grad(), eval_mode(model):
        model(input_ids=token, use_cache=True, **{cache_argument(model): cache})
    cache.reset()
    states: MixerStates = cache.layers[-1]
    states.is_exportable = True
    for number, tensor in enumerate(states.tensors):
        holder.register_buffer(f"mixer_state_{number}", tensor, persistent=False)
