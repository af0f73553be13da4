"""Attached mixers: where they sit, what they read, and whose configuration records them."""

import copy
import inspect

import numpy as np
import pytest
import torch
import transformers
from accelerate.hooks import ModelHook, add_hook_to_module

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers, attached_mixers
from latentwave.mixers import register_preset, registry
from latentwave.mixers.registry import _COMMON_OPTIONS
from tests.hub.models import (
    BACKBONES,
    DEAF_BACKBONES,
    EVERY_BACKBONE,
    cache_of,
    cached,
    chunked,
    gpt2,
    lively,
    mixed,
    tokens,
)

PAIRS = [
    ("kv_shift", None),
    (lw.MixerConfig(kind="short_conv", options={"kernel_size": 3}), ["attention", "mlp"]),
    ("wavelet", "block"),
]


def test_the_mixer_reads_the_output_of_its_layer():
    model, ids = gpt2(num_layers=1), tokens(1, 12)
    hidden = []
    handle = model.transformer.h[0].register_forward_hook(lambda *a: hidden.append(a[2]))
    model(ids)
    handle.remove()
    lw.attach(model, "wavelet", placement="all")
    mixer = attached_mixers(model)[0]
    expected = model.lm_head(model.transformer.ln_f(mixer(hidden[0])))
    torch.testing.assert_close(model(ids).logits, expected)


def test_context_length_and_a_config_object():
    config = lw.MixerConfig(kind="wavelet", options={"boundary": "mean"})
    model = lw.attach(gpt2(), config, context_length=16)
    mixer = attached_mixers(model)[0]
    assert (mixer.receptive_field, mixer.boundary) == (16, "mean")


def test_the_options_that_all_kinds_have_are_in_the_signature():
    parameters = inspect.signature(lw.attach).parameters
    assert {name: parameters[name].default for name in _COMMON_OPTIONS} == {
        "gated": None,
        "check_finite": None,
    }
    model = lw.attach(gpt2(), "wavelet", gated=True, check_finite=True)
    (saved,) = model.config.latentwave["mixers"]
    assert saved["options"] == {"gated": True, "check_finite": True}
    mixer = attached_mixers(model)[0]
    assert mixer.check_finite
    assert mixer.fade_gate is not None
    model = lw.attach(gpt2(), "wavelet")
    assert model.config.latentwave["mixers"][0]["options"] == {}


def test_a_gate_that_a_preset_has_can_be_left_out(monkeypatch):
    monkeypatch.setattr(registry, "_PRESETS", dict(registry._PRESETS))
    register_preset("mine", kind="short_conv", options={"gated": True})
    for options, has_gate in (({}, True), ({"gated": False}, False)):
        mixer = attached_mixers(lw.attach(gpt2(), "mine", **options))[0]
        assert (mixer.fade_gate is not None) == has_gate


def test_mixers_and_their_gates_follow_the_precision_of_their_layer():
    model = lw.attach(gpt2().to(torch.bfloat16), "wavelet")
    assert model(tokens(1, 8)).logits.dtype == torch.bfloat16
    model = lw.attach(gpt2(), "wavelet", points="qkv", gated=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(model(tokens(1, 6)).logits).all()


@EVERY_BACKBONE
@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_stay_tied(backbone, tied, tmp_path):
    config = BACKBONES[backbone]().config
    config.tie_word_embeddings = tied
    model = lw.attach(transformers.AutoModelForCausalLM.from_config(config), "wavelet")
    model.save_pretrained(tmp_path)
    for each in (model, lw.from_pretrained(tmp_path), copy.deepcopy(model), lw.detach(model)):
        inputs, outputs = each.get_input_embeddings(), each.get_output_embeddings()
        assert (inputs.weight is outputs.weight) == tied


@pytest.mark.parametrize("inner", [False, True])
@EVERY_BACKBONE
def test_mixers_belong_to_a_model_and_not_to_its_configuration(backbone, inner, tmp_path):
    first = BACKBONES[backbone]()
    config = first.config
    twin, plain = type(first)(config), type(first)(config)
    lw.attach(first.base_model if inner else first, "wavelet")
    later = type(first)(first.config if inner else config)
    for other in (twin, later):
        assert not attached_mixers(other)
        assert other(tokens(1, 4)).logits.shape == (1, 4, 40)
    with lw.register():
        third = type(first)(first.config)
    assert len(attached_mixers(third)) == len(attached_mixers(first)) == 2
    if not inner:
        later.save_pretrained(tmp_path)
        assert not attached_mixers(lw.from_pretrained(tmp_path))
        lw.detach(third)
        assert first.config.latentwave["mixers"][0]["kind"] == "wavelet"
    other = lw.attach(plain.base_model, "ema")
    assert first.config.latentwave["mixers"][0]["kind"] == "wavelet"
    assert other.config.latentwave["mixers"][0]["kind"] == "ema"
    configs = {id(m.config) for m in first.modules() if hasattr(m, "config")}
    assert configs == {id(first.config)}, "one configuration for all modules"
    first.set_attn_implementation("eager")
    assert {m.config._attn_implementation for m in first.modules() if hasattr(m, "config")} == {
        "eager"
    }


@pytest.mark.unchecked
def test_calls_that_cannot_be_right():
    model = lw.attach(gpt2(), "wavelet")
    with pytest.raises(UserError, match="packed documents.*use_cache=False"):
        model(tokens(1, 4), segment_ids=torch.zeros(1, 4, dtype=torch.int64), use_cache=True)
    with pytest.raises(UserError, match=r"\(batch, tokens\).*shape \(1, 4, 4\)"):
        model(tokens(1, 4), attention_mask=torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):  # transformers' own
        model()


@pytest.mark.parametrize("inner", [False, True])
def test_the_configuration_of_the_model_is_read_at_each_call(inner):
    model, ids = gpt2(), tokens(1, 10)
    lw.attach(model.transformer if inner else model, "wavelet")
    model.config.use_cache = False
    segments = torch.zeros_like(ids)
    assert cache_of(model(ids, segment_ids=segments)) is None
    model.config.use_cache = True
    cache = cache_of(model(ids))
    whole = model(torch.cat([ids, ids[:, :1]], dim=1), use_cache=False).logits[:, -1]
    torch.testing.assert_close(model(ids[:, :1], **cached(cache)).logits[:, -1], whole)


def test_hidden_states_are_those_that_the_next_layer_reads():
    first, ids = gpt2(), tokens(1, 10)
    second = copy.deepcopy(first)
    second(ids, output_hidden_states=True)  # transformers hooks itself in here
    states = [
        lw.attach(model, "wavelet")(ids, output_hidden_states=True).hidden_states
        for model in (first, second)
    ]
    for one, other in zip(*states, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("backbone", ["llama", *DEAF_BACKBONES])
def test_documents_reach_the_mixers_of_every_backbone(backbone):
    model, ids = (BACKBONES | DEAF_BACKBONES)[backbone](2), tokens(1, 10)
    if backbone == "codegen":
        add_hook_to_module(model, ModelHook())  # as device_map does
    model, mask = mixed(model, "short_conv", placement="all").train(), torch.ones_like(ids)
    mask[:, -2:] = 0  # padding beside documents; on the left, some backbones give NaN in float64
    segments = (torch.arange(10) // 5)[None]
    torch.manual_seed(1)
    with lw.documents(segments):
        expected = model(ids, attention_mask=mask).logits
    for told in ({"segment_ids": segments}, {"seq_idx": segments}, {}):
        torch.manual_seed(1)  # of dropout
        found = model(ids, attention_mask=mask, **told).logits
        assert torch.equal(found, expected) == bool(told)
    assert "segment_ids" in inspect.signature(type(model).forward).parameters


@pytest.mark.unchecked
def test_placements_from_other_libraries_become_plain(tmp_path):
    model = lw.attach(gpt2(), "wavelet", placement=np.arange(2))
    model.save_pretrained(tmp_path)
    assert list(attached_mixers(lw.from_pretrained(tmp_path))) == [0, 1]


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
def test_several_kinds_each_at_its_own_points(backbone, tmp_path):
    model = lively(lw.attach(BACKBONES[backbone](), PAIRS))
    where = {(each.mixer.kind, each.point) for each in all_mixers(model)}
    assert where == {
        ("kv_shift", "qkv"),
        ("short_conv", "attention"),
        ("short_conv", "mlp"),
        ("wavelet", "block"),
    }
    ids = tokens(2, 12)
    whole = model(ids).logits
    torch.testing.assert_close(chunked(model, ids, (0, 7, 12)), whole)
    lw.assert_causal(model)

    model.save_pretrained(tmp_path)
    again = lw.from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, whole)
    lw.save_mixers(model, tmp_path / "alone")
    other = lw.detach(again)
    assert torch.equal(lw.load_mixers(other, tmp_path / "alone")(ids).logits, whole)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap loops over some operators
def test_gradients_of_every_sequence_with_torch_func():
    more = [("filterbank", ["block"]), ("ema", ["mlp_output"])]
    model = lively(lw.attach(BACKBONES["llama"](), [*PAIRS[:2], *more])).double().eval()
    parameters, ids = dict(model.named_parameters()), tokens(3, 12)

    def loss(parameters, one):
        inputs = {"input_ids": one.unsqueeze(0), "labels": one.unsqueeze(0), "use_cache": False}
        return torch.func.functional_call(model, parameters, (), inputs).loss

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, ids)
    for b in range(3):
        wanted = torch.autograd.grad(loss(parameters, ids[b]), list(parameters.values()))
        here = [gradient[b] for gradient in found.values()]
        torch.testing.assert_close(here, list(wanted), rtol=1e-5, atol=1e-8)
