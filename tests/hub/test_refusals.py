"""Models and calls that mixers cannot serve are refused with one clear error."""

import functools

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.hub.attached import is_attached
from latentwave.mixers.registry import POINTS
from tests.comparing import assert_differ
from tests.hub.models import (
    DEAF_BACKBONES,
    MORE_BACKBONES,
    POINTS_INSIDE,
    UNUSUAL_BACKBONES,
    gpt2,
    llama,
    randomized,
    tiny_backbone_of,
    tokens,
)
from tests.hub.plain import Decoder

SMALL = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}


def of_transformers(name, head, **options):
    config = getattr(transformers, f"{name}Config")(**SMALL | options)
    return lambda: getattr(transformers, f"{name}{head}")(config)


def on_meta():
    with torch.device("meta"):
        return llama()


def two_lists():
    model = gpt2()
    model.transformer.copies = nn.ModuleList(model.transformer.h)
    return model


def one_layer_twice():
    model = Decoder()
    model.transformer.h[2] = model.transformer.h[0]
    return model


def in_another():
    return nn.ModuleDict({"lm": gpt2()})


BERT = {"intermediate_size": 8, "is_decoder": True, "add_cross_attention": True}
MAMBA = {"num_attention_heads": None}
PLAIN = {"layers": "transformer.h", "context_length": 16}
MISTAKES = [
    (gpt2, {"mixer": "wavelets"}, "did you mean 'wavelet'"),
    (gpt2, {"level": 9}, "level must be between 1 and 6.*got 9"),
    (gpt2, {"points": ["attention", "qkv"], "fraction": 0.3}, "fraction=0.3 of 16 channels"),
    (gpt2, {"placement": [3]}, r"layers 0 to 2, got \[3\]"),
    (gpt2, {"placement": "before"}, "got 'before'"),
    (gpt2, {"placement": 0}, "list of layer indices, got 0"),
    (gpt2, {"placement": [True, False, True]}, r"indices, got \[True, False, True\]"),
    (gpt2, {"kind": "ema"}, "no argument 'kind': use mixer='ema'"),
    (gpt2, {"point": "mlp"}, "no argument 'point': use points='mlp'"),
    (
        gpt2,
        {"modules": {"ffn": "mlp"}},
        r"must name \"attention\" or \"mlp\", .* got {'ffn': 'mlp'}",
    ),
    (gpt2, {"modules": ["mlp"]}, r"must name .* got \['mlp'\]"),
    (gpt2, {"modules": {"mlp": ""}}, "must name .* got {'mlp': ''}"),
    (gpt2, {"points": "C"}, "one or more of 'attention', 'qkv', .*, 'block', got 'C'"),
    (gpt2, {"points": []}, r"points must be .*, got \[\]"),
    (gpt2, {"points": ["mlp", "x"]}, r"got \['mlp', 'x'\]"),
    (gpt2, {"schedule": range(1, 4)}, "schedule=range.1, 4. cannot be saved with the model"),
    (gpt2, {"level": np.int64(2)}, "level=.* cannot be saved"),
    (gpt2, {"mixer": ["wavelet"]}, "must be a kind, a MixerConfig, or a list of pairs"),
    (gpt2, {"mixer": []}, r"list of pairs .* got \[\]"),
    (gpt2, {"mixer": 7}, "got 7"),
    (
        gpt2,
        {"mixer": [("ema", "mlp"), ("best", None)]},
        "'ema' and 'dynamic_conv' cannot share the point 'mlp'",
    ),
    (gpt2, {"mixer": [("ema", "mlp")], "points": "block"}, "also got points"),
    (gpt2, {"mixer": [("wavelet", "mlp")], "level": 2}, "also got level"),
    (gpt2, {"mixer": [("wavelet", "mlp")], "gated": True}, "also got gated"),
    (
        gpt2,
        {"mixer": lw.MixerConfig(kind="ema"), "check_finite": True},
        "inside the MixerConfig .* also got check_finite",
    ),
    (gpt2, {"gated": 1}, "option 'gated' of mixer 'wavelet' must be bool, got 1"),
    (gpt2, {"mixer": [("ema", "nowhere")]}, "got 'nowhere'"),
    (gpt2, {"mixer": [("emu", "mlp")]}, "did you mean 'ema'"),
    (on_meta, {}, "on the meta device"),
    (two_lists, {}, r"2 lists of 3 decoder layers \(GPT2Model.h, GPT2Model."),
    (of_transformers("Bloom", "ForCausalLM"), {}, r"BloomForC.*\(model, context_length=2048\)"),
    (of_transformers("Mpt", "ForCausalLM"), {}, r"MptForC.*\(model, context_length=2048\)"),
    (
        of_transformers("Mamba", "ForCausalLM", **MAMBA),
        {},
        "no nn.ModuleList of num_hidden_layers = 2 modul",
    ),
    (of_transformers("T5", "ForConditionalGeneration"), {}, "is an encoder-decoder"),
    (of_transformers("Bert", "Model", **BERT), {}, "attends to an encoder"),
    (
        MORE_BACKBONES["lfm2"],
        {"points": "attention"},
        "Lfm2DecoderLayer 0 has no modules for point 'attention'.*conv.*at 'block' or 'mlp'",
    ),
    (
        MORE_BACKBONES["qwen3_next"],
        {"points": "mlp_hidden"},
        "'mlp_hidden': looked for linear maps named gate_up_proj, .*mlp",
    ),
    (DEAF_BACKBONES["bloom"], {"points": "mlp_output", "context_length": 9}, "adds the residual"),
    (
        DEAF_BACKBONES["bloom"],
        {"points": "attention_output", "context_length": 9},
        "self_attention of BloomBlock 0 adds the residual stream itself",
    ),
    (lambda: nn.Linear(2, 2), {}, "not a transformers model: pass the path"),
    (llama, {"layers": "model.layers"}, "is a transformers model.*drop layers='model.layers'"),
    (lambda: torch.compile(llama()), {"layers": "model.layers"}, "is a transformers model"),
    (llama, {"channels": 16}, "width are in its configuration: drop channels=16"),
    (llama, {"mixer": "kv_shift", "heads": "kk"}, "v_proj needs heads with the letter 'v'.*'kk'"),
    (Decoder, {"channels": 16}, "pass the path of its decoder layers"),
    (Decoder, {}, 'Decoder is not a transformers model.*layers="transf'),
    (Decoder, {"layers": "transformer.h"}, "pass context_length"),
    (Decoder, PLAIN | {"layers": "blocks"}, "'blocks'; its lists of modules are transformer.h"),
    (Decoder, PLAIN | {"mixer": "best", "modules": {"mlp": "ffn"}}, "no module 'ffn' for 'mlp'"),
    (one_layer_twice, PLAIN, "layers 0, 2 share one layer"),
    (in_another, {}, "use the one inside it, GPT2LMHeadModel at 'lm'"),
    (in_another, PLAIN | {"layers": "lm.transformer.h"}, "GPT2LMHeadModel at 'lm': attach to that"),
]


@pytest.mark.unchecked
@pytest.mark.parametrize(("build", "options", "message"), MISTAKES)
def test_refused_calls_leave_the_model_unchanged(build, options, message):
    model = build()
    with pytest.raises(ValueError, match=message):
        lw.attach(model, **({"mixer": "wavelet"} | options))
    assert not all_mixers(model)
    assert not is_attached(model)


@pytest.mark.unchecked
def test_calls_that_lack_a_model_mixers_or_tokens_or_come_twice():
    with pytest.raises(UserError, match="an nn.Module, got 'gpt2': load it first"):
        lw.attach("gpt2")
    model = lw.attach(Decoder(), **PLAIN)
    for part in (Decoder(), model.transformer.h[0]):  # a layer by itself does not know the others
        with pytest.raises(UserError, match="attach some first"), lw.streaming(part):
            pass
    for model in (gpt2(), lw.attach(gpt2(), "wavelet")):
        with pytest.raises(UserError, match="streaming needs a plain PyTorch decoder"):
            lw.streaming(model).__enter__()
    with pytest.raises(UserError, match="no mixers are attached to this GPT2LMHeadModel"):
        lw.detach(gpt2())
    model = lw.attach(gpt2(), [("ema", "mlp"), ("kv_shift", None)])
    with pytest.raises(UserError, match=r"already attached \(ema, kv_shift\).*as a list"):
        lw.attach(model, "best")
    with pytest.raises(UserError, match="pass input_ids"):
        lw.assert_causal(Decoder())


def test_continuous_batching():
    model = lw.attach(llama(), "wavelet")
    for outer in (model, get_peft_model(model, LoraConfig(target_modules=["q_proj"]))):
        with pytest.raises(UserError, match="continuous batching"):
            outer.generate_batch(inputs=[[3, 4, 5], [6]])
    model = lw.detach(outer.unload())
    assert type(model) is transformers.LlamaForCausalLM
    lw.attach(model.model, "wavelet")  # the model around it is as it was: its first step refuses
    with pytest.raises(UserError, match="continuous batching"):
        model(tokens(1, 4), cache=object(), use_cache=False)


def same_layer(model):
    model.model.layers[2] = model.model.layers[0]


def same_mlp(model):
    model.model.layers[2].mlp = model.model.layers[0].mlp


@pytest.mark.parametrize("repeat", [same_layer, same_mlp])
def test_a_module_that_two_layers_share(repeat):
    model = llama()
    repeat(model)
    for placement in ("all", [2]):
        with pytest.raises(UserError, match=r"layers 0, 2 share one \S+, .* as one sequence"):
            lw.attach(model, "short_conv", points="mlp", placement=placement)
    assert not all_mixers(model)
    if repeat is same_mlp:
        lw.attach(model, "short_conv", placement="all")


def replicated(model):
    how = {"target_modules": ["q_proj"], "layer_replication": [[0, 2], [1, 3]]}
    get_peft_model(model, LoraConfig(r=2, **how))


@pytest.mark.parametrize("repeat", [same_layer, replicated])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_layers_repeated_after_mixers_were_attached(repeat):
    model = lw.attach(llama(), "short_conv", points=["qkv", "block"], placement="all")
    repeat(model)
    for use_cache in (False, True):
        with pytest.raises(UserError, match="copied or repeated after mixers were attached"):
            model(tokens(1, 5), use_cache=use_cache)


class Wrapper(nn.Sequential):
    def forward(self, *args, **kwargs):
        return self[0](*args, **kwargs)


def test_layers_may_be_wrapped_after_mixers_were_attached():
    model, ids = lw.attach(llama(), "short_conv", points=["qkv", "block"]), tokens(1, 5)
    expected = model(ids).logits
    model.model.layers = nn.ModuleList(map(Wrapper, model.model.layers))
    assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize(
    ("backbone", "points", "says"),
    [
        ("gemma3n", "block", r"take an input of shape \(2, 1, 2, 16\) for \(1, 2\) tokens"),
        ("minimax", "mlp_output", "MiniMax uses cache of its own"),
        ("rwkv", "block", "RwkvModel keeps its past outside of transformers' cache"),
    ],
)
def test_layers_of_another_form(backbone, points, says):
    model = UNUSUAL_BACKBONES[backbone]()
    random, training = torch.get_rng_state(), model.training
    with pytest.raises(UserError, match=says):
        lw.attach(model, "short_conv", points=points, context_length=16)
    assert not all_mixers(model)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), random)


def check_points(model, points, **how):
    """Mixers at the points start as the identity, and change the logits once they are not."""
    ids = tokens(2, 12)
    before = model(ids).logits
    lw.attach(model, "short_conv", points=points, context_length=16, **how)
    assert {each.point for each in all_mixers(model)} == set(points)
    assert torch.equal(model(ids).logits, before)
    assert_differ(randomized(model)(ids).logits, before)


@pytest.mark.parametrize("name", ["OPT", "XGLM", "BioGpt"])
def test_layers_that_hold_the_maps_of_their_mlp_themselves(name):
    build = tiny_backbone_of(name, ffn_dim=32)
    model = build().float()
    with pytest.raises(
        UserError, match=r"no modules for point 'mlp'.*\(model, points='attention'\)"
    ):
        lw.attach(model)
    check_points(model, ["attention", "qkv", "attention_output", "block"])
    lw.assert_causal(model, num_tokens=12)
    if name != "OPT":  # whose maps take all tokens of a batch as one list
        check_points(build().float(), ["mlp"], modules={"mlp": "fc1"})


def test_points_inside_layers_whose_input_has_four_dimensions():
    model = UNUSUAL_BACKBONES["gemma3n"]()
    check_points(model, POINTS_INSIDE)
    lw.assert_causal(model, num_tokens=12)


class Packed(nn.Module):
    """Weights in a buffer, their width named as in BitLinear and AWQ, or as in AutoGPTQ."""

    def __init__(self, linear, name):
        super().__init__()
        setattr(self, name, linear.out_features)
        self.register_buffer("qweight", linear.weight.detach())

    def forward(self, x):
        return nn.functional.linear(x, self.qweight)


def packed(model, width="out_features"):
    for layer in model.model.layers:
        for owner in (layer.self_attn, layer.mlp):
            for name, child in owner.named_children():
                if isinstance(child, nn.Linear):
                    setattr(owner, name, Packed(child, width))
    return model


def int8(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize("quantise", [packed, functools.partial(packed, width="outfeatures"), int8])
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:torch.ao.quantization")
def test_quantised_layers_have_all_points(quantise):
    check_points(quantise(llama().float()).eval(), POINTS)
