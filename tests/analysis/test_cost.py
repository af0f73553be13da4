import pytest

from latentwave.analysis import measure_cost
from latentwave.hub import attached_mixers
from latentwave.training import BackboneConfig, ContestantConfig, build_model


@pytest.mark.parametrize("kind", [None, "wavelet"])
def test_flops_equal_the_count_by_hand(kind):
    L, D, F, V, layers = 64, 32, 96, 50, 3
    backbone = BackboneConfig(
        num_layers=layers, hidden_size=D, num_heads=4, intermediate_size=F, context_length=L
    )
    model = build_model(backbone, ContestantConfig(kind=kind), vocab_size=V, seed=0)
    matrices = layers * (4 * D * D + 2 * D * F) + D * V
    attention = layers * 2 * L * D
    mixers = sum(mixer.flops(L) for mixer in attached_mixers(model).values())
    assert (mixers > 0) == (kind is not None)
    cost = measure_cost(model, L)
    assert cost.flops_per_token == pytest.approx(3 * (2 * (matrices + attention) + mixers / L))
    assert cost.num_mixer_parameters == 0
    assert cost.num_parameters == sum(p.numel() for p in model.parameters())
    assert model.training
    assert model.config._attn_implementation == "sdpa"
