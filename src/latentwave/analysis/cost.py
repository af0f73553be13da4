"""What a model costs: parameters and floating-point operations."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from latentwave.hub import all_mixers
from latentwave.hub.points import point_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCost:
    """The cost of one model.

    Attributes:
        num_parameters: trainable scalars, tied weights once.
        num_mixer_parameters: those of the mixers among them.
        flops_per_token: of training, forward and backward pass, averaged over a full context;
            a multiplication and an addition count one each.
    """

    num_parameters: int
    num_mixer_parameters: int
    flops_per_token: float


def measure_cost(
    model: PreTrainedModel, num_tokens: int, inputs: dict[str, Any] | None = None
) -> ModelCost:
    """Count a model's parameters and operations.

    The backbone's operations are counted by torch's own counter (matrix products, attention
    included, over all pairs of tokens) on one forward pass, the mixers' by their `flops`. A
    backward pass costs twice a forward pass.

    Args:
        model: a decoder, with mixers or without.
        num_tokens: context length that the average is taken over.
        inputs: of the model, with that many tokens; default: token ids of a language model.

    Returns:
        The cost.
    """
    if inputs is None:
        tokens = torch.zeros(1, num_tokens, dtype=torch.int64)
        inputs = {"input_ids": tokens, "use_cache": False}
    mixers = [each.mixer for each in all_mixers(model)]
    mixer_flops = sum(mixer.flops(num_tokens) + mixer.fade_flops(num_tokens) for mixer in mixers)
    forward = _backbone_flops(model, inputs) + mixer_flops
    return ModelCost(
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        num_mixer_parameters=sum(mixer.num_parameters for mixer in mixers),
        flops_per_token=3 * forward / num_tokens,
    )


def _backbone_flops(model: PreTrainedModel, inputs: dict[str, Any]) -> int:
    attention, training = model.config._attn_implementation, model.training
    # The counter sees matrix products, which fused attention kernels hide on some devices.
    model.set_attn_implementation("eager")
    model.train(False)
    counter = FlopCounterMode(display=False)
    placed = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
    }
    with torch.no_grad(), counter:
        model(**placed)
    model.set_attn_implementation(attention)
    model.train(training)
    # Matrix products inside mixers belong to the mixers' own count.
    inside_mixers = sum(
        sum(counts.values())
        for module, counts in counter.get_flop_counts().items()
        if point_of(module.rpartition(".")[2])
    )
    return int(counter.get_total_flops()) - inside_mixers
