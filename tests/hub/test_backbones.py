"""Decoders of many families: one rule finds their layers, and everything goes on working."""

import pytest
import torch
import transformers
from transformers import DynamicCache

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import attached_mixers, decoder_layers
from tests.comparing import assert_differ
from tests.hub.models import MORE_BACKBONES, gpt2, tokens
from tests.mixers.cases import CASES, randomize

EVERY_BACKBONE = pytest.mark.parametrize("backbone", MORE_BACKBONES)
# Few in the usual run, all of them with the slow checks.
FEW = ("wavelet", "adaptive", "ema")
EVERY_CASE = pytest.mark.parametrize(
    "case",
    [
        name if name in FEW else pytest.param(name, marks=pytest.mark.slow)
        for name in CASES
        if "schedule" not in CASES[name][1]
    ],
)
LENGTH = {"max_new_tokens": 10, "do_sample": False}


def mixed(backbone, case):
    kind, options = CASES[case]
    # Not every layer of every backbone has the queries where some kinds stand by themselves.
    model = lw.attach(
        MORE_BACKBONES[backbone](), kind, context_length=16, points="block", **options
    )
    for mixer in attached_mixers(model).values():
        randomize(mixer)
    return model


def whole_and_chunks(model, ids):
    whole = model(ids, use_cache=False).logits
    cache, parts = DynamicCache(config=model.config), []
    for start, stop in ((0, 9), (9, 16), (16, 17), (17, 20)):
        parts.append(model(ids[:, start:stop], past_key_values=cache).logits)
    return whole, torch.cat(parts, dim=1)


@EVERY_BACKBONE
@EVERY_CASE
def test_causal_and_streaming(backbone, case):
    model, ids = mixed(backbone, case), tokens(2, 20)
    lw.assert_causal(model)
    whole, parts = whole_and_chunks(model, ids)
    if backbone == "lfm2" and not torch.allclose(parts, whole, rtol=1e-4, atol=1e-4):
        plain, chunks = whole_and_chunks(lw.detach(model), ids)
        if not torch.allclose(chunks, plain, rtol=1e-4, atol=1e-4):
            pytest.skip("this version's LFM2 itself forgets its past in chunks of several tokens")
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


@EVERY_BACKBONE
@EVERY_CASE
@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"cache_implementation": "static"}], ids=str)
def test_generate_with_cache_equals_without(backbone, case, how):
    model, ids, how = mixed(backbone, case), tokens(2, 12), dict(how)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["attention_mask"][1, :5] = 0
    cached = model.generate(**batch, **LENGTH | how)
    how.pop("cache_implementation", None)
    assert torch.equal(cached, model.generate(**batch, **LENGTH | how, use_cache=False))
    alone = model.generate(input_ids=ids[1:, 5:], **LENGTH | how)
    assert torch.equal(cached[1, 12:], alone[0, 7:]), "left padding changes tokens"


@EVERY_BACKBONE
def test_save_and_load(backbone, tmp_path):
    model, ids = mixed(backbone, "filterbank"), tokens(2, 20)
    model.save_pretrained(tmp_path)
    with lw.register():
        registered = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    for again in (lw.from_pretrained(tmp_path), registered):
        assert type(again) is type(model)
        assert torch.equal(again(ids).logits, model(ids).logits)


@EVERY_BACKBONE
def test_attach_and_detach(backbone):
    model = MORE_BACKBONES[backbone]()
    ids = tokens(1, 12)
    plain = model(ids).logits
    lw.attach(model, "wavelet")
    assert list(attached_mixers(model)) == [0, 1]
    assert_differ(model(ids).logits, plain)
    assert torch.equal(lw.detach(model)(ids).logits, plain)


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


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            lambda: transformers.MambaForCausalLM(
                transformers.MambaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2)
            ),
            "MambaForCausalLM has no list of num_hidden_layers = 2 modules with attention",
        ),
        (
            lambda: transformers.T5ForConditionalGeneration(
                transformers.T5Config(vocab_size=8, d_model=8, num_layers=1, num_heads=2, d_ff=8)
            ),
            "T5ForConditionalGeneration is an encoder-decoder",
        ),
        (
            lambda: transformers.BertModel(
                transformers.BertConfig(
                    vocab_size=8,
                    hidden_size=8,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    intermediate_size=8,
                    is_decoder=True,
                    add_cross_attention=True,
                )
            ),
            "attends to an encoder",
        ),
        (lambda: torch.nn.Linear(2, 2), "not a transformers model: pass the path"),
    ],
    ids=["mamba", "t5", "bert", "linear"],
)
def test_what_is_not_understood_is_refused(model, says):
    with pytest.raises(UserError, match=says):
        lw.attach(model(), "wavelet")


def test_two_lists_that_fit_are_refused_by_name():
    model = gpt2()
    model.transformer.copies = torch.nn.ModuleList(model.transformer.h)
    with pytest.raises(UserError, match=r"2 lists of 3 decoder layers \(GPT2Model.h, GPT2Model."):
        lw.attach(model, "wavelet")
