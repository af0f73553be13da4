import pytest
import torch

import latentwave as lw
from latentwave.bench.training import ContestantConfig, build_model
from latentwave.bench.training.models import build_classifier
from latentwave.errors import UserError
from tests.tiny import tiny_backbone


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_contestants_of_one_seed_start_from_the_same_backbone(architecture):
    backbone = tiny_backbone(architecture=architecture)
    plain, mixed, other = (
        build_model(backbone, contestant, vocab_size=30, seed=seed).state_dict()
        for contestant, seed in [
            (ContestantConfig(), 1),
            (ContestantConfig(kind="wavelet"), 1),
            (ContestantConfig(), 2),
        ]
    )
    assert all(torch.equal(plain[name], mixed[name]) for name in plain)
    assert not all(torch.equal(plain[name], other[name]) for name in plain)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_built_models_are_causal(architecture):
    backbone = tiny_backbone(architecture=architecture)
    lw.assert_causal(build_model(backbone, ContestantConfig(kind="wavelet"), vocab_size=30, seed=0))


@pytest.mark.parametrize(
    ("architecture", "positions"),
    [("gpt2", "rotary"), ("gpt2", "none"), ("llama", "none"), ("gpt2", "learned")],
)
def test_without_positions_order_shows_only_through_the_causal_mask(architecture, positions):
    backbone = tiny_backbone(architecture=architecture, positions=positions, num_layers=1)
    model = build_model(backbone, ContestantConfig(), vocab_size=30, seed=0).double().eval()
    lw.assert_causal(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    tokens = torch.randint(30, (1, 20), generator=torch.Generator().manual_seed(0))
    swapped = tokens.clone()
    swapped[0, :2] = tokens[0, :2].flip(0)
    last, after = (model(ids, use_cache=False).logits[0, -1] for ids in (tokens, swapped))
    # One layer of attention without positions is a weighted sum, whatever the order.
    assert torch.allclose(last, after, atol=1e-5) == (positions == "none")


def test_an_odd_width_is_named():
    backbone = tiny_backbone(hidden_size=15, num_heads=3)
    with pytest.raises(UserError, match=r"mixer 'wavelet': fraction=0.5 of 15 channels"):
        build_model(backbone, ContestantConfig(kind="wavelet"), vocab_size=30, seed=0)


def test_options_of_backbones_reach_classifiers():
    def build(architecture, **changes):
        backbone = tiny_backbone(architecture=architecture, **changes)
        classes = {"class_names": ("a", "b"), "multi_label": False}
        return build_classifier(backbone, ContestantConfig(), vocab_size=8, seed=0, **classes)

    usual, scaled = (
        build("llama", scaled_residual_init=scaled).model.layers[0].mlp.down_proj.weight
        for scaled in (False, True)
    )
    assert torch.allclose(scaled, usual / 2)
    embeddings = build("encoder", initializer_range=0.5).model.embeddings.tok_embeddings.weight
    assert 0.3 < float(embeddings.detach().std()) < 0.7
    with pytest.raises(UserError, match=r"backbone\.qk_norm is a choice of language models"):
        build("llama", qk_norm=True)
