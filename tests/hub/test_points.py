"""Mixers at the points inside decoder layers."""

import copy
import itertools
import json

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import DynamicCache

import latentwave as lw
from latentwave.bench.comparison import measure_cost
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.errors import UserError
from latentwave.hub import (
    all_mixers,
    attached_mixers,
    decoder_layers,
)
from latentwave.hub.points import POINTS
from tests.comparing import assert_differ
from tests.hub.models import (
    BACKBONES,
    MORE_BACKBONES,
    every_way,
    gpt2,
    lively,
    llama,
    tokens,
)
from tests.mixers.cases import randomize

INNER = POINTS[:-1]
EVERY_BACKBONE = pytest.mark.parametrize("backbone", BACKBONES)
EVERY_POINT = pytest.mark.parametrize(
    "points",
    [*INNER, [*INNER, "block"]],
    ids=lambda points: points if isinstance(points, str) else "all",
)
KINDS = pytest.mark.parametrize("kind", ["short_conv", "wavelet"])
EVERY_KIND = pytest.mark.parametrize("kind", lw.list_mixers())
# Hybrid ones have attention in their middle layer only; experts have no one hidden projection.
OTHERS = {
    name: {"placement": [1]} if name in ("lfm2", "qwen3_next") else {} for name in MORE_BACKBONES
}
EVERY_OTHER = pytest.mark.parametrize("backbone", OTHERS)
SIZES = {
    "filterbank": {"num_filters": 6, "kernel_size": 8},
    "adaptive_filterbank": {"num_filters": 6, "kernel_size": 8, "mask_width": 8, "mask_window": 5},
}
LENGTH = {"max_new_tokens": 12, "do_sample": False}


def mixed(model, kind, points, **more):
    options = SIZES.get(kind, {}) | more
    model = lw.attach(model, kind, points=points, context_length=16, **options)
    for each in all_mixers(model):
        randomize(each.mixer)
    return model


def chunked(model, ids, cuts=(0, 9, 16, 17, 20)):
    cache = DynamicCache(config=model.config)
    parts = [
        model(ids[:, start:stop], past_key_values=cache).logits
        for start, stop in itertools.pairwise(cuts)
    ]
    return torch.cat(parts, dim=1)


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
@KINDS
def test_causal_and_streaming(backbone, points, kind):
    model, ids = mixed(BACKBONES[backbone](), kind, points), tokens(2, 20)
    lw.assert_causal(model)
    whole = model(ids, use_cache=False).logits
    for cuts in ((0, 9, 16, 17, 20), range(21)):
        torch.testing.assert_close(chunked(model, ids, cuts), whole, rtol=1e-4, atol=1e-4)


@EVERY_POINT
@KINDS
@every_way([{}, {"num_beams": 3}, {"cache_implementation": "static"}])
def test_generation_and_left_padding(backbone, points, kind, how):
    model, ids, how = mixed(BACKBONES[backbone](), kind, points), tokens(2, 12), dict(how)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["attention_mask"][1, :5] = 0
    cached = model.generate(**batch, **LENGTH | how)
    how.pop("cache_implementation", None)
    assert torch.equal(cached, model.generate(**batch, **LENGTH | how, use_cache=False))
    alone = model.generate(input_ids=ids[1:, 5:], **LENGTH | how)
    assert torch.equal(cached[1, 12:], alone[0, 7:]), "left padding changes tokens"


@EVERY_POINT
@KINDS
def test_caches_are_cropped_expanded_and_thinned_out(points, kind):
    model, ids = mixed(gpt2(), kind, points), tokens(2, 20)
    prompt = tokens(1, 4).repeat(1, 5)
    assert torch.equal(
        model.generate(prompt, prompt_lookup_num_tokens=3, **LENGTH),
        model.generate(prompt, **LENGTH),
    )
    cache = DynamicCache()
    model(ids[:, :15], past_key_values=cache)
    cache.batch_repeat_interleave(3)
    cache.batch_select_indices(torch.tensor([4, 0]))
    rest = model(ids[[1, 0], 15:], past_key_values=cache).logits
    whole = model(ids[[1, 0]], use_cache=False).logits
    torch.testing.assert_close(rest, whole[:, 15:], rtol=1e-4, atol=1e-4)


@EVERY_BACKBONE
@EVERY_POINT
def test_packed_documents_equal_separate_ones(backbone, points):
    model = mixed(BACKBONES[backbone](), "short_conv", points)
    lengths = [9, 5, 13]
    documents = [tokens(1, n) for n in lengths]
    ids = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    own = (ids[:, None, :, None] == ids[:, None, None, :]) & torch.ones(27, 27).tril().bool()
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    how = {"attention_mask": own, "position_ids": positions, "use_cache": False}
    packed = model(torch.cat(documents, dim=1), segment_ids=ids, **how).logits
    separate = torch.cat([model(document).logits for document in documents], dim=1)
    torch.testing.assert_close(packed, separate, rtol=1e-4, atol=1e-4)


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
@pytest.mark.parametrize("kind", ["short_conv", "ema", "adaptive_filterbank"])
def test_gradient_checkpointing_gives_the_same_gradients(backbone, kind):
    model, ids = mixed(BACKBONES[backbone](), kind, [*INNER, "block"]).train(), tokens(2, 20)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(ids, attention_mask=mask, labels=ids).loss.backward()
        grads.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.unchecked
@EVERY_BACKBONE
def test_the_whole_model_compiles_without_graph_breaks(backbone):
    model, ids = mixed(BACKBONES[backbone](), "short_conv", INNER), tokens(2, 20)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(ids, use_cache=False).logits, model(ids, use_cache=False).logits
    )


def test_lora_on_the_projections_that_are_mixed(tmp_path):
    model, ids = mixed(llama(), "short_conv", ["qkv", "mlp_hidden"]), tokens(4, 20)
    before = model(ids).logits
    names = sorted({each.name for each in all_mixers(model)})
    lora = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], modules_to_save=names)
    adapted = get_peft_model(model, lora)
    assert torch.equal(adapted(input_ids=ids).logits, before)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(4):
        adapted(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
    adapted.eval()
    trained = adapted(input_ids=ids).logits
    assert_differ(trained, before)
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, trained, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, merged(ids).logits)


@EVERY_KIND
def test_every_kind_at_every_point(kind):
    model, ids = mixed(llama(), kind, [*INNER, "block"]), tokens(2, 20)
    with torch.no_grad():  # mixers that follow their input square what others have amplified
        for parameter in (p for each in all_mixers(model) for p in each.mixer.parameters()):
            parameter.mul_(0.1)
    model.double()  # random weights make float32's rounding large
    lw.assert_causal(model)
    torch.testing.assert_close(chunked(model, ids), model(ids, use_cache=False).logits)


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


@EVERY_OTHER
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
    with pytest.raises(UserError, match="'wavelet' mixers are attached already"):
        lw.attach(model, "wavelet")


@pytest.mark.unchecked
def test_points_of_another_type_are_refused():
    for wrong in (3, [3], [["mlp"]]):
        with pytest.raises(UserError, match="points must be one or more of 'attention'"):
            lw.attach(gpt2(), "wavelet", points=wrong)


@EVERY_BACKBONE
def test_gradient_checkpointing_of_several_calls_before_one_backward_pass(backbone):
    model, grads = mixed(BACKBONES[backbone](), "short_conv", [*INNER, "block"]).train(), []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batches, masks = [tokens(2, 20), tokens(2, 20)], torch.ones(2, 2, 20, dtype=torch.int64)
    masks[0, 0, :9] = masks[1, 1, :4] = 0
    for checkpointing in (False, True, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        losses = [
            model(ids, attention_mask=mask, labels=ids).loss
            for ids, mask in zip(batches, masks, strict=True)
        ]
        sum(losses).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(grads[1], grads[0])
    torch.testing.assert_close(grads[2], grads[0])
    layer = decoder_layers(model)[0]
    assert layer._gradient_checkpointing_func is not None
    lw.detach(model)
    assert "latentwave" not in type(layer._gradient_checkpointing_func).__module__
