"""What a model costs: parameters, floating-point operations and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel

from latentwave.bench.comparison.memory import held_bytes, peak_training_bytes
from latentwave.bench.comparison.results import DecodingCost, ModelCost
from latentwave.hub import all_mixers
from latentwave.hub.cache import MixerStates
from latentwave.hub.points import point_of


def measure_cost(
    model: PreTrainedModel, num_tokens: int, inputs: dict[str, Any] | None = None
) -> ModelCost:
    """Count a model's parameters, operations and memory.

    The backbone's operations are counted by torch's own counter (matrix products, attention
    included, over all pairs of tokens) on one forward pass, the mixers' by their `flops`. A
    backward pass costs twice a forward pass. Memory is that of one training step that is really
    made, and of a cache that is really filled.

    Args:
        model: a decoder, with mixers or without.
        num_tokens: context length that the average is taken over.
        inputs: of the model, with that many tokens, B = 1; default: token ids of a language model.

    Returns:
        The cost.
    """
    if inputs is None:
        tokens = torch.zeros(1, num_tokens, dtype=torch.int64)
        inputs = {"input_ids": tokens, "use_cache": False}
    placed = {
        name: value.to(model.device) if isinstance(value, Tensor) else value
        for name, value in inputs.items()
    }
    forward = _backbone_flops(model, placed) + _mixer_flops(model, num_tokens)
    return ModelCost(
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        num_mixer_parameters=sum(each.mixer.num_parameters for each in all_mixers(model)),
        flops_per_token=3.0 * forward / num_tokens,
        peak_memory_bytes=_peak_memory(model, placed),
        decoding=_decoding(model, num_tokens) if model.can_generate() else None,
    )


def _mixer_flops(model: PreTrainedModel, num_tokens: int) -> int:
    mixers = [each.mixer for each in all_mixers(model)]
    return sum(mixer.flops(num_tokens) + mixer.fade_flops(num_tokens) for mixer in mixers)


def _peak_memory(model: PreTrainedModel, inputs: dict[str, Any]) -> int:
    """Of a step on the loss; a classifier's has no size worth counting, so its logits stand in."""

    def loss() -> Tensor:
        if model.can_generate():
            found: Tensor = model(**inputs, labels=inputs["input_ids"]).loss
        else:
            found = model(**inputs).logits.sum()
        return found

    # Dropout draws from a generator that the caller may go on with.
    with _mode(model, training=True), torch.random.fork_rng(devices=[]):
        return peak_training_bytes(model, loss)


def _decoding(model: PreTrainedModel, num_tokens: int) -> DecodingCost:
    """Of the last token of a context, the others in the cache."""
    cache = DynamicCache(config=model.config)
    tokens = torch.zeros(1, num_tokens, dtype=torch.int64, device=model.device)
    if num_tokens > 1:
        with _mode(model, training=False), torch.no_grad():
            model(input_ids=tokens[:, :-1], past_key_values=cache, use_cache=True)
    last = {"input_ids": tokens[:, -1:], "past_key_values": cache, "use_cache": True}
    flops = _backbone_flops(model, last) + _mixer_flops(model, 1)
    layers: list[Any] = cache.layers
    of_mixers = sum(layer.num_bytes for layer in layers if isinstance(layer, MixerStates))
    others = [vars(layer) for layer in layers if not isinstance(layer, MixerStates)]
    return DecodingCost(
        flops_per_token=float(flops),
        cache_bytes=of_mixers + sum(held_bytes(layer.values()) for layer in others),
        mixer_state_bytes=of_mixers,
    )


def _backbone_flops(model: PreTrainedModel, inputs: dict[str, Any]) -> int:
    attention = model.config._attn_implementation
    # The counter sees matrix products, which fused attention kernels hide on some devices.
    model.set_attn_implementation("eager")
    counter = FlopCounterMode(display=False)
    with _mode(model, training=False), torch.no_grad(), counter:
        model(**inputs)
    model.set_attn_implementation(attention)
    # Matrix products inside mixers belong to the mixers' own count.
    inside_mixers = sum(
        sum(counts.values())
        for module, counts in counter.get_flop_counts().items()
        if point_of(module.rpartition(".")[2])
    )
    return int(counter.get_total_flops()) - inside_mixers


@contextmanager
def _mode(model: PreTrainedModel, *, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
