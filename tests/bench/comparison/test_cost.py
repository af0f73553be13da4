import pytest
import torch
from torch import nn

from latentwave.bench.comparison import measure_cost
from latentwave.bench.comparison.cost import peak_training_bytes
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model
from latentwave.hub import attached_mixers

L, D, F, V, LAYERS = 64, 32, 96, 50, 3
MATRICES = LAYERS * (4 * D * D + 2 * D * F) + D * V
ATTENTION = LAYERS * 2 * L * D  # of a token


def model_with(kind, points=("block",), **options):
    backbone = BackboneConfig(
        num_layers=LAYERS, hidden_size=D, num_heads=4, intermediate_size=F, context_length=L
    )
    points = list(points) if kind else []
    contestant = ContestantConfig(kind=kind, options=options, points=points)
    return build_model(backbone, contestant, vocab_size=V, seed=0)


@pytest.mark.parametrize("kind", [None, "wavelet"])
def test_flops_equal_the_count_by_hand(kind):
    model = model_with(kind)
    mixers = sum(mixer.flops(L) for mixer in attached_mixers(model).values())
    assert (mixers > 0) == (kind is not None)
    cost = measure_cost(model, L)
    assert cost.flops_per_token == pytest.approx(3 * (2 * (MATRICES + ATTENTION) + mixers / L))
    assert cost.num_mixer_parameters == 0
    assert cost.num_parameters == sum(p.numel() for p in model.parameters())
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    if kind is None:
        assert cost.decoding.flops_per_token == 2 * (MATRICES + ATTENTION)
        assert (cost.decoding.cache_bytes, cost.decoding.mixer_state_bytes) == (4 * ATTENTION, 0)


def test_peak_memory_equals_the_count_by_hand():
    x, linear = torch.randn(2, 3), nn.Linear(3, 5, bias=False)
    linear.weight.grad = torch.ones(5, 3)  # is cleared
    # Besides the weight: in the forward pass the product and its sum, in the backward pass the
    # loss, its gradient and the weight's. A sum only needs the shape of its argument.
    weight, product, number = 4 * 15, 4 * 10, 4
    peak = peak_training_bytes(linear, lambda: linear(x).sum())
    assert peak == max(weight + product + number, weight + 2 * number + weight)
    assert linear.weight.grad is None


def test_peak_memory_is_the_same_each_time_and_leaves_nothing_behind():
    model = model_with("short_conv")
    state = torch.get_rng_state()
    cost = measure_cost(model, L)
    assert measure_cost(model, L) == cost
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert cost.peak_memory_bytes > measure_cost(model_with(None), L).peak_memory_bytes
    assert cost.peak_memory_bytes > measure_cost(model, 32).peak_memory_bytes


@pytest.mark.parametrize(
    ("kind", "points", "signals", "tokens"),
    [
        # Between three layers there are two places. Besides its history a mixer keeps the sample
        # of the last call, here one token; long histories are in buffers with spare room.
        ("short_conv", ["block"], 2 * 32, 3 + 1),
        ("wavelet", ["block"], 2 * 16, 2 * 64 + 63 + 64),
        ("ema", ["block"], 2 * 16, 1),
        ("short_conv", ["attention"], 3 * 32, 3 + 1),
    ],
)
def test_the_mixers_part_of_a_cache(kind, points, signals, tokens):
    plain = measure_cost(model_with(None), L).decoding
    found = measure_cost(model_with(kind, points), L).decoding
    assert found.mixer_state_bytes == signals * tokens * 4
    assert found.cache_bytes == plain.cache_bytes + found.mixer_state_bytes
    assert found.flops_per_token > plain.flops_per_token
