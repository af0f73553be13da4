"""Mixers at every point of a layer: where they sit, what they change and cost, and detach."""

import pytest
import torch
import transformers

import latentwave as lw
from latentwave.bench.comparison import measure_cost
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.hub import all_mixers, attached_mixers, decoder_layers
from latentwave.mixers.registry import POINTS
from tests.comparing import assert_differ
from tests.hub.models import (
    BACKBONES,
    EVERY_BACKBONE,
    EVERY_POINT,
    MORE_BACKBONES,
    POINTS_INSIDE,
    SIZES,
    gpt2,
    lively,
    mixed,
    tokens,
)
from tests.mixers.cases import randomize

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
    lw.attach(model, "short_conv", points=POINTS_INSIDE)
    assert [name for name in model.state_dict() if "latentwave" not in name] == names
    found = all_mixers(model)
    assert {each.layer_index for each in found} == {0, 1, 2}, "every layer by default"
    projections = dict(zip(["qkv", "mlp_hidden"], NAMES.get(backbone, NAMES["llama"]), strict=True))
    own = [(point, name) for point in POINTS_INSIDE for name in projections.get(point, [""])]
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
def test_each_mixer_changes_the_logits_and_detach_restores_all(backbone, points):
    model, ids = BACKBONES[backbone](), tokens(2, 20)
    before, names = model(ids).logits, list(model.state_dict())
    assert lw.attach(model, "short_conv", points=points) is model
    assert torch.equal(model(ids).logits, before)
    for each in all_mixers(model):
        randomize(each.mixer)
        assert_differ(model(ids).logits, before)
        torch.nn.init.zeros_(each.mixer.kernels)
    assert torch.equal(model(ids).logits, before)
    randomize(all_mixers(model)[0].mixer)
    lw.detach(model)
    assert torch.equal(model(ids).logits, before)
    assert list(model.state_dict()) == names
    assert not hasattr(model.config, "latentwave")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


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


@pytest.mark.parametrize(
    ("backbone", "kind"), [("gpt2", "short_conv"), ("llama", "adaptive_filterbank")]
)
def test_costs_add_up(backbone, kind):
    model = BACKBONES[backbone]()
    plain = measure_cost(model, 16)
    mixed(model, kind, list(POINTS))
    mixers = [each.mixer for each in all_mixers(model)]
    cost = measure_cost(model, 16)
    assert cost.num_mixer_parameters == sum(mixer.num_parameters for mixer in mixers)
    assert cost.num_parameters == plain.num_parameters + cost.num_mixer_parameters
    extra = 3 * sum(mixer.flops(16) for mixer in mixers) / 16
    assert cost.flops_per_token == pytest.approx(plain.flops_per_token + extra)


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
    mixed(model, "filterbank", points, **SIZES["filterbank"], causal=False)
    alone = torch.cat([model(sound).logits for sound in sounds])
    assert_differ(alone[:1], before)
    batch, mask = torch.zeros(2, 700).double(), torch.zeros(2, 700, dtype=torch.int64)
    for row, sound in enumerate(sounds):
        batch[row, : sound.shape[1]], mask[row, : sound.shape[1]] = sound, 1
    torch.testing.assert_close(model(batch, mask).logits, alone, rtol=1e-4, atol=1e-5)


def test_a_vision_tower_of_the_same_depth_is_not_taken_for_the_decoder():
    text = MORE_BACKBONES["gemma3"]().config.to_dict()
    vision = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=vision | {"intermediate_size": 8, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=36,
        eoi_token_index=37,
        image_token_index=38,
    )
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    assert decoder_layers(model) == list(model.model.language_model.layers)
    lw.attach(model, "wavelet")
    assert len(attached_mixers(model)) == 2
