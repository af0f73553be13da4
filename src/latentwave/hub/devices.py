"""Move a mixer to the device and precision of its layer, and shard it alike."""

from __future__ import annotations

import itertools

from torch import nn

from latentwave.mixers import Mixer


def like_layer(mixer: Mixer, module: nn.Module, layer: nn.Module) -> Mixer:
    """Move a mixer to the device and dtype of the floating-point weights of its module.

    If the module is quantised, the weights of the whole layer decide.
    """
    weights = itertools.chain(module.parameters(), layer.parameters())
    weight = next((p for p in weights if p.is_floating_point()), None)
    if weight is None:
        return mixer
    # While a model is built on the meta device, some layers make weights on another one.
    tensors = itertools.chain(mixer.parameters(), mixer.buffers())
    stays = any(tensor.is_meta for tensor in tensors)
    return mixer.to(device=None if stays else weight.device, dtype=weight.dtype)


def shard_like(mixer: Mixer, layer: nn.Module) -> None:
    """Shard a mixer like its layer if FSDP2 has already sharded that."""
    if mixer.num_parameters and any(c.__name__ == "FSDPModule" for c in type(layer).__mro__):
        from torch.distributed.fsdp import fully_shard  # slow to import, rarely needed
        from torch.distributed.tensor import DTensor

        sharded = (p for p in layer.parameters() if isinstance(p, DTensor))
        mesh = next((p.device_mesh for p in sharded), None)
        if mesh is not None:
            fully_shard(mixer, mesh=mesh)
