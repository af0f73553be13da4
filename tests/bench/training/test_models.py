import pytest
import torch
from transformers import Trainer, TrainingArguments

import latentwave as lw
from latentwave.bench.training import ContestantConfig, build_model
from latentwave.bench.training.models import build_classifier
from latentwave.errors import UserError
from latentwave.hub import attached_mixers
from tests.tiny import tiny_backbone


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_contestants_of_one_seed_start_from_the_same_backbone(architecture):
    backbone = tiny_backbone(architecture=architecture)
    wavelet = ContestantConfig(kind="wavelet")
    models = [
        build_model(backbone, contestant, vocab_size=30, seed=seed)
        for contestant, seed in [(ContestantConfig(), 1), (wavelet, 1), (ContestantConfig(), 2)]
    ]
    lw.assert_causal(models[1])
    plain, mixed, other = (model.state_dict() for model in models)
    assert all(torch.equal(plain[name], mixed[name]) for name in plain)
    assert not all(torch.equal(plain[name], other[name]) for name in plain)


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


@pytest.mark.parametrize("classifies", [False, True])
def test_options_of_backbones_reach_the_model(classifies):
    def build(architecture, **changes):
        backbone = tiny_backbone(architecture=architecture, **changes)
        classes = {"class_names": ("a", "b"), "multi_label": False} if classifies else {}
        build = build_classifier if classifies else build_model
        return build(backbone, ContestantConfig(), vocab_size=8, seed=0, **classes)

    usual, scaled = (
        build("llama", scaled_residual_init=scaled).model.layers[0].mlp for scaled in (False, True)
    )
    assert torch.allclose(scaled.down_proj.weight, usual.down_proj.weight / 2)
    assert torch.equal(scaled.up_proj.weight, usual.up_proj.weight)
    if classifies:
        embeddings = build("encoder", initializer_range=0.5).model.embeddings.tok_embeddings.weight
        with pytest.raises(UserError, match=r"backbone\.qk_norm is a choice of language models"):
            build("llama", qk_norm=True)
    else:
        untied = build("llama", tie_embeddings=False, initializer_range=0.5)
        embeddings = untied.model.embed_tokens.weight
        assert untied.lm_head.weight is not embeddings
        assert hasattr(build("llama", qk_norm=True).model.layers[0].self_attn, "q_norm")
    assert 0.3 < float(embeddings.detach().std()) < 0.7


@pytest.mark.parametrize("names", [["segment_ids", "position_ids"], ["position_ids"]])
def test_the_trainer_of_transformers_hands_borders_to_mixers(names, tmp_path):
    lengths = torch.tensor([9, 3, 12])
    model = build_model(tiny_backbone(), ContestantConfig(kind="wavelet"), vocab_size=20, seed=0)
    seen = []

    def record(module, args, kwargs):
        seen.append(kwargs["segment_ids"])

    for mixer in attached_mixers(model).values():
        mixer.register_forward_pre_hook(record, with_kwargs=True)
    tokens = torch.randint(20, (24,))
    borders = {
        "segment_ids": torch.repeat_interleave(torch.arange(3), lengths),
        "position_ids": torch.cat([torch.arange(n) for n in lengths]),
    }
    item = {"input_ids": tokens, "labels": tokens} | {name: borders[name] for name in names}
    options = {"max_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True}
    options |= {"disable_tqdm": True, "dataloader_pin_memory": False}
    arguments = TrainingArguments(output_dir=str(tmp_path), **options)
    Trainer(model=model, args=arguments, train_dataset=[item] * 8).train()
    assert seen
    for segments in seen:
        assert (segments[0].diff().nonzero().flatten() + 1).tolist() == [9, 12]
