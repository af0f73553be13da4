"""Puts a recipe's model on one process or several: DDP, FSDP2, torch.compile."""

import functools
import os
import warnings
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from latentwave.bench.training.processes import (
    device,
    keep_freed_memory,
    num_processes,
    on_all,
    on_cpu,
)
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError
from latentwave.hub.decoder import decoder_layers

Wrapper = Literal["none", "DistributedDataParallel", "FSDPModule (fully_shard)"]


def expected_wrapper(settings: TrainingConfig) -> Wrapper:
    """The wrapper that the recipe, the launcher and the number of processes ask for.

    The engine "auto" means FSDP2 if `accelerate launch` was configured for FSDP, else DDP.

    Raises:
        UserError: for FSDP2 with Muon.
    """
    if num_processes() == 1:
        return "none"
    configured = _configured_for_fsdp()
    if settings.engine == "ddp" or (settings.engine == "auto" and not configured):
        return "DistributedDataParallel"
    if settings.optimizer == "muon":
        raise UserError(
            "training.optimizer='muon' needs whole matrices, which FSDP2 shards over "
            f"{num_processes()} processes: use training.engine='ddp' or training.optimizer='adamw'"
        )
    return "FSDPModule (fully_shard)"


@functools.cache
def _configured_for_fsdp() -> bool:
    # Removed from the environment, or accelerate would shard the sharded model again.
    return os.environ.pop("ACCELERATE_USE_FSDP", "false").lower() == "true"


def found_wrapper(model: nn.Module) -> str:
    """What actually wraps a model."""
    if isinstance(model, DistributedDataParallel):
        return "DistributedDataParallel"
    if isinstance(model, FSDPModule):
        return "FSDPModule (fully_shard)"
    return "none" if isinstance(model, PreTrainedModel) else type(model).__name__


def windows_per_process(settings: TrainingConfig) -> int:
    """Windows of one forward pass: batch_size / (processes · accumulation), a whole number."""
    parts = num_processes() * settings.gradient_accumulation_steps
    if settings.batch_size % parts:
        raise UserError(
            f"training.batch_size={settings.batch_size} cannot be divided by {num_processes()} "
            f"processes times training.gradient_accumulation_steps="
            f"{settings.gradient_accumulation_steps}: choose a multiple of {parts}, or another "
            "number of processes"
        )
    return settings.batch_size // parts


def prepare_model(model: PreTrainedModel, settings: TrainingConfig) -> bool:
    """Set up memory, checkpointing of activations and compilation; return whether it compiles."""
    if on_cpu():
        keep_freed_memory()
    if settings.gradient_checkpointing:
        # Transformers 6 has only the first name, the oldest that we support only the second.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)()
    if not settings.compile:
        return False
    faults = [fault for fault in on_all(_compile_fault) if fault]
    if faults:
        warnings.warn(
            f"torch.compile does not work here, training goes on without it: {faults[0]}",
            stacklevel=2,
        )
        return False
    # Graphs of earlier models count towards the recompile limit, beyond which torch would
    # silently run eagerly and the record would still say compiled.
    torch.compiler.reset()
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    torch._dynamo.config.recompile_limit = 64  # all contestants of a comparison are timed in turn
    model.compile(dynamic=False)
    return True


def shard_model(model: PreTrainedModel) -> None:
    """Shard parameters, gradients and optimizer state over all processes (FSDP2), in place.

    Each decoder layer is one unit with its mixers; the rest (embeddings, last norm) is another.
    Parameters stay in float32; autocast casts what it computes with.
    """
    mesh = init_device_mesh(device().type, (num_processes(),))
    for layer in decoder_layers(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def reshard(model: nn.Module) -> None:
    """Free the whole parameters that FSDP2 keeps after a forward pass without a backward."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _compile_fault() -> str | None:
    """Why torch.compile fails here, tried on one line; None if it works."""
    try:
        torch.compile(lambda x: x * 2)(torch.ones(8, device=device()))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None
