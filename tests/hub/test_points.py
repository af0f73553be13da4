"""Where the points of a layer are, and that what stands there comes and goes."""

import copy
import json

import pytest
import torch
import transformers

import latentwave as lw
from latentwave.bench.comparison import measure_cost
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.errors import UserError
from latentwave.hub import all_mixers, attached_mixers
from latentwave.hub.points import POINTS
from tests.comparing import assert_differ
from tests.hub.models import BACKBONES, MORE_BACKBONES, gpt2, lively, tokens
from tests.hub.points import EVERY_BACKBONE, EVERY_POINT, INNER, LENGTH, chunked, mixed
from tests.mixers.cases import randomize

# Hybrid ones have attention in their middle layer only; experts have no one hidden projection.
OTHERS = {
    name: {"placement": [1]} if name in ("lfm2", "qwen3_next") else {} for name in MORE_BACKBONES
}
NAMES = {
    "gpt2": [["c_attn"], ["c_fc"]],
    "llama": [["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"]],
    "phi3": [["qkv_proj"], ["gate_up_proj"]],
    "gpt_neox": [["query_key_value"], ["dense_h_to_4h"]],
}
WIDTHS = {
    "gpt2": [16, 48, 16, 16, 64, 16],
    "llama": [16, 16, 16, 16, 16, 16, 32, 32, 16],
    "qwen3": [16, 16, 8, 8, 16, 16, 32, 32, 16],
    "mistral": [16, 16, 8, 8, 16, 16, 32, 32, 16],
    "phi3": [16, 48, 16, 16, 64, 16],
    "gpt_neox": [16, 48, 16, 16, 32, 16],
}


@pytest.mark.parametrize("backbone", WIDTHS)
def test_names_and_widths(backbone):
    model = (BACKBONES | MORE_BACKBONES)[backbone]()
    names = list(model.state_dict())
    lw.attach(model, "short_conv", points=INNER)
    assert [name for name in model.state_dict() if "latentwave" not in name] == names
    found = all_mixers(model)
    assert {each.layer_index for each in found} == {0, 1, 2}, "every layer by default"
    projections = dict(zip(["qkv", "mlp_hidden"], NAMES.get(backbone, NAMES["llama"]), strict=True))
    own = [(point, name) for point in INNER for name in projections.get(point, [""])]
    for index in range(3):
        here = [each for each in found if each.layer_index == index]
        assert [each.name for each in here] == [
            f"latentwave_mixer_{point}_{name}".removesuffix("_") for point, name in own
        ]
        assert [each.point for each in here] == [point for point, _ in own]
        assert [each.mixer.channels for each in here] == WIDTHS[backbone]
    assert not attached_mixers(model)


@EVERY_BACKBONE
@EVERY_POINT
def test_short_conv_changes_no_logit_at_first_and_detach_restores_all(backbone, points):
    model, ids = BACKBONES[backbone](), tokens(2, 20)
    before, names = model(ids).logits, list(model.state_dict())
    lw.attach(model, "short_conv", points=points)
    assert torch.equal(model(ids).logits, before)
    for each in all_mixers(model):
        kept = each.mixer.kernels.detach().clone()
        randomize(each.mixer)
        assert_differ(model(ids).logits, before)
        with torch.no_grad():
            each.mixer.kernels.copy_(kept)
    assert torch.equal(model(ids).logits, before)
    for each in all_mixers(model):
        randomize(each.mixer)
    lw.detach(model)
    assert torch.equal(model(ids).logits, before)
    assert list(model.state_dict()) == names
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@EVERY_BACKBONE
@EVERY_POINT
def test_save_and_load(backbone, points, tmp_path):
    model, ids = mixed(BACKBONES[backbone](), "short_conv", points), tokens(2, 20)
    model.save_pretrained(tmp_path)
    entry = json.loads((tmp_path / "config.json").read_text())["latentwave"]
    assert entry["format_version"] == 1
    assert entry["mixers"][0]["points"] == ([points] if isinstance(points, str) else points)
    for load in (lw.from_pretrained, transformers.AutoModelForCausalLM.from_pretrained):
        with lw.register():
            again = load(tmp_path)
        assert torch.equal(again(ids).logits, model(ids).logits)
        assert again.config.latentwave == model.config.latentwave
        assert torch.equal(
            lw.detach(again)(ids).logits, lw.detach(copy.deepcopy(model))(ids).logits
        )


@pytest.mark.parametrize(
    ("points", "placement", "where"),
    [
        ("attention", None, {"attention": [0, 1, 2]}),
        (["mlp", "attention"], "between", {"attention": [0, 1], "mlp": [0, 1]}),
        (["attention", "block"], None, {"attention": [0, 1, 2], "block": [0, 1]}),
        (["attention", "block"], "all", {"attention": [0, 1, 2], "block": [0, 1, 2]}),
        ("mlp_hidden", [1], {"mlp_hidden": [1]}),
        ("block", [2, 0], {"block": [0, 2]}),
    ],
)
def test_placement(points, placement, where):
    model = lw.attach(gpt2(), "wavelet", points=points, placement=placement)
    with lw.register():
        built = type(model)(model.config)
    for each in (model, built):
        found = {}
        for mixer in all_mixers(each):
            found.setdefault(mixer.point, []).append(mixer.layer_index)
        assert found == where


@EVERY_BACKBONE
@pytest.mark.parametrize("kind", ["short_conv", "adaptive_filterbank"])
def test_costs_add_up(backbone, kind):
    model = BACKBONES[backbone]()
    plain = measure_cost(model, 16)
    mixed(model, kind, [*INNER, "block"])
    mixers = [each.mixer for each in all_mixers(model)]
    cost = measure_cost(model, 16)
    assert cost.num_mixer_parameters == sum(mixer.num_parameters for mixer in mixers)
    assert cost.num_parameters == plain.num_parameters + cost.num_mixer_parameters
    extra = 3 * sum(mixer.flops(16) for mixer in mixers) / 16
    assert cost.flops_per_token == pytest.approx(plain.flops_per_token + extra)


@pytest.mark.parametrize("backbone", OTHERS)
def test_other_backbones(backbone, tmp_path):
    model, ids = MORE_BACKBONES[backbone](), tokens(2, 20)
    points = [each for each in POINTS if each != "mlp_hidden" or backbone != "qwen3_next"]
    plain, chunks = model(ids, use_cache=False).logits, chunked(model, ids)
    mixed(model, "short_conv", points, **OTHERS[backbone])
    assert_differ(model(ids, use_cache=False).logits, plain)
    lw.assert_causal(model)
    if torch.allclose(chunks, plain, rtol=1e-4, atol=1e-4):  # unless it forgets by itself
        torch.testing.assert_close(
            chunked(model, ids), model(ids, use_cache=False).logits, rtol=1e-4, atol=1e-4
        )
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["attention_mask"][1, :5] = 0
    cached = model.generate(**batch, **LENGTH)
    assert torch.equal(cached, model.generate(**batch, **LENGTH, use_cache=False))
    alone = model.generate(input_ids=ids[1:, 5:], **LENGTH)
    assert torch.equal(cached[1, 20:], alone[0, 15:]), "left padding changes tokens"
    model.save_pretrained(tmp_path)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, model(ids).logits)
    assert torch.equal(lw.detach(model)(ids, use_cache=False).logits, plain)


@EVERY_POINT
def test_an_encoder_of_sound(points):
    config = WaveEncoderConfig(
        frontend_channels=8,
        frontend_kernel_sizes=(16, 4),
        frontend_strides=(4, 5),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=100,
        num_labels=5,
    )
    model = lively(WaveEncoderForAudioClassification(config))
    sounds = [torch.randn(1, n, dtype=torch.float64) for n in (700, 300)]
    before = model(sounds[0]).logits
    mixed(model, "filterbank", points, causal=False)
    alone = torch.cat([model(sound).logits for sound in sounds])
    assert_differ(alone[:1], before)
    batch, mask = torch.zeros(2, 700).double(), torch.zeros(2, 700, dtype=torch.int64)
    for row, sound in enumerate(sounds):
        batch[row, : sound.shape[1]], mask[row, : sound.shape[1]] = sound, 1
    torch.testing.assert_close(model(batch, mask).logits, alone, rtol=1e-4, atol=1e-5)


def test_mistakes_are_named_and_leave_the_model_as_it_was():
    model = gpt2()
    for wrong, says in (
        ("C", "points must be one or more of 'attention', 'qkv', .*, 'block', got 'C'"),
        ([], r"points must be .*, got \[\]"),
        (["mlp", "x"], r"got \['mlp', 'x'\]"),
    ):
        with pytest.raises(UserError, match=says):
            lw.attach(model, "wavelet", points=wrong)
    with pytest.raises(
        UserError, match=r"Lfm2DecoderLayer 0 has no modules for point 'attention'.*conv"
    ):
        lw.attach(MORE_BACKBONES["lfm2"](), "wavelet", points="attention")
    with pytest.raises(
        UserError, match=r"'mlp_hidden': looked for linear maps named gate_up_proj, .*mlp"
    ):
        lw.attach(MORE_BACKBONES["qwen3_next"](), "wavelet", points="mlp_hidden")
    with pytest.raises(ValueError, match=r"fraction=0.3 of 16 channels"):
        lw.attach(model, "wavelet", points=["attention", "qkv"], fraction=0.3)
    assert not all_mixers(model)
    lw.attach(model, "wavelet", points="attention")
    with pytest.raises(UserError, match=r"mixers are already attached \(wavelet\)"):
        lw.attach(model, "wavelet")
