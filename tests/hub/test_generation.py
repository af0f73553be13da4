"""Cached generation gives what generation without a cache gives, token by token."""

import copy
import itertools

import pytest
import torch
from transformers import DynamicCache, StaticCache

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import attached_mixers
from tests.hub.models import BACKBONES, every_way, gpt2, tokens
from tests.mixers.cases import CASES, randomize

EVERY_BACKBONE = pytest.mark.parametrize("backbone", BACKBONES)
EVERY_CASE = pytest.mark.parametrize(
    "case", [name for name in CASES if "schedule" not in CASES[name][1]]
)
LENGTH = {"max_new_tokens": 16, "do_sample": False}


def model_and_batch(backbone, case):
    kind, options = CASES[case]
    model = lw.attach(BACKBONES[backbone](), kind, context_length=16, **options)
    for mixer in attached_mixers(model).values():
        randomize(mixer)
    ids = tokens(2, 12)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    return model, {"input_ids": ids, "attention_mask": mask}


@EVERY_BACKBONE
@EVERY_CASE
def test_chunks_equal_the_full_forward(backbone, case):
    model, _ = model_and_batch(backbone, case)
    ids = tokens(2, 30)
    full = model(ids, use_cache=False).logits
    for chunk in (1, 7, 29):
        cache = DynamicCache(config=model.config)
        parts = [
            model(ids[:, i : i + chunk], past_key_values=cache).logits for i in range(0, 30, chunk)
        ]
        torch.testing.assert_close(torch.cat(parts, dim=1), full, rtol=1e-4, atol=1e-4)


@EVERY_CASE
@every_way(
    [
        {},
        {"num_beams": 3},
        {"do_sample": True, "top_k": 0},
        {"cache_implementation": "static"},
        {"prefill_chunk_size": 5},
        {"num_return_sequences": 2, "do_sample": True},
    ]
)
def test_generate_with_cache_equals_without(backbone, case, how):
    model, batch = model_and_batch(backbone, case)
    how = LENGTH | how
    torch.manual_seed(1)
    cached = model.generate(**batch, **how)
    for only_cached in ("cache_implementation", "prefill_chunk_size"):
        how.pop(only_cached, None)
    torch.manual_seed(1)
    assert torch.equal(cached, model.generate(**batch, **how, use_cache=False))


@EVERY_BACKBONE
def test_a_finished_cache_continues(backbone):
    model, _ = model_and_batch(backbone, "wavelet")
    ids = tokens(1, 6)
    whole = model.generate(ids, max_new_tokens=20, do_sample=False)
    first = model.generate(ids, max_new_tokens=8, do_sample=False, return_dict_in_generate=True)
    rest = model.generate(
        first.sequences,
        attention_mask=torch.ones_like(first.sequences),  # or padding is guessed from the ids
        past_key_values=first.past_key_values,
        max_new_tokens=12,
        do_sample=False,
    )
    assert torch.equal(rest, whole)


@EVERY_CASE
def test_prompt_lookup_decoding_crops_the_state(case):
    model, _ = model_and_batch("gpt2", case)
    ids = tokens(1, 4).repeat(1, 5)
    if CASES[case][0] == "ema":
        with pytest.raises(UserError, match="recurrent mixer cannot undo tokens"):
            model.generate(ids, prompt_lookup_num_tokens=3, **LENGTH)
        return
    assert torch.equal(
        model.generate(ids, prompt_lookup_num_tokens=3, **LENGTH), model.generate(ids, **LENGTH)
    )


def test_cropping_the_last_call_rewinds_and_further_is_refused():
    model, ids = lw.attach(gpt2(), "wavelet", context_length=16), tokens(1, 60)
    cache = DynamicCache()
    model(ids[:, :40], past_key_values=cache)
    model(ids[:, 40:45], past_key_values=cache)
    cache.crop(-5)
    again = model(ids[:, 40:45], past_key_values=cache).logits
    torch.testing.assert_close(
        again, model(ids[:, :45], use_cache=False).logits[:, 40:], rtol=1e-4, atol=1e-4
    )
    model(ids[:, 45:46], past_key_values=cache)
    cache.crop(-4)
    with pytest.raises(UserError, match="cropped to 42 tokens, further back"):
        model(ids[:, 42:43], past_key_values=cache)


@EVERY_CASE
@pytest.mark.parametrize(
    ("backbone", "static"), [("gpt2", False), ("llama", False), ("llama", True)]
)
def test_padding_anywhere_changes_no_token(backbone, case, static):
    model, _ = model_and_batch(backbone, case)
    ids = tokens(2, 30)
    mask = torch.ones_like(ids)
    mask[1, :4] = mask[1, 15:19] = mask[0, 15:17] = 0  # a second turn of a padded batch
    mask[0, 25] = mask[1, 29] = 0
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    if static:
        cache = StaticCache(config=model.config, max_cache_len=32)
    parts = [
        model(
            ids[:, start:stop],
            attention_mask=mask[:, :stop],
            position_ids=places[:, start:stop],
            past_key_values=cache,
        ).logits
        for start, stop in itertools.pairwise([0, 15, 25, 26, 29, 30])
    ]
    whole = model(ids, attention_mask=mask, position_ids=places, use_cache=False).logits
    for row, real in enumerate(mask.bool()):
        alone = model(ids[row, real][None], use_cache=False).logits[0]
        torch.testing.assert_close(whole[row, real], alone)
        torch.testing.assert_close(torch.cat(parts, dim=1)[row, real], alone)


def test_a_cache_is_not_cropped_into_padding():
    model, ids, mask = lw.attach(gpt2(), "wavelet"), tokens(2, 9), torch.ones(2, 9).long()
    mask[1, 4:6] = 0
    cache = model(ids, attention_mask=mask).past_key_values
    model(ids[:, :1], past_key_values=cache)
    cache.crop(torch.tensor(-1))  # as older transformers do
    model(ids[:, :1], past_key_values=cache)
    cache.crop(-4)
    with pytest.raises(UserError, match="cropped to 6 tokens, further back"):
        model(ids[:, :1], past_key_values=cache)


def test_a_cache_that_the_mixers_did_not_see_is_refused():
    model, ids = gpt2(), tokens(1, 8)
    cache = model(ids, use_cache=True).past_key_values
    lw.attach(model, "wavelet")
    with pytest.raises(UserError, match="8 tokens that the mixers have not seen"):
        model(ids, past_key_values=cache)


def test_a_static_cache_of_the_user():
    model, ids = lw.attach(gpt2(), "wavelet"), tokens(1, 20)
    cache = StaticCache(config=model.config, max_cache_len=32)
    parts = [model(ids[:, i : i + 5], past_key_values=cache).logits for i in range(0, 20, 5)]
    torch.testing.assert_close(
        torch.cat(parts, dim=1), model(ids, use_cache=False).logits, rtol=1e-4, atol=1e-4
    )


@EVERY_CASE
def test_a_cache_can_be_expanded_and_thinned_out(case):
    model, _ = model_and_batch("gpt2", case)
    ids = tokens(2, 20)
    cache = DynamicCache()
    model(ids[:, :15], past_key_values=cache)
    cache.batch_repeat_interleave(3)
    cache.batch_select_indices(torch.tensor([4, 0]))
    rest = model(ids[[1, 0], 15:], past_key_values=cache).logits
    torch.testing.assert_close(
        rest, model(ids[[1, 0]], use_cache=False).logits[:, 15:], rtol=1e-4, atol=1e-4
    )


def test_the_state_stays_as_long_as_the_filters_are():
    model, ids = lw.attach(gpt2(), "wavelet", context_length=16), tokens(1, 60)
    cache = DynamicCache()
    for t in range(60):
        model(ids[:, t : t + 1], past_key_values=cache)
    (samples,) = cache.layers[-1].of("0.latentwave_mixer")._tensors.values()
    assert samples.nbytes <= 8 * 8 * (3 * 17 + 64), "spare room is bounded too"


@pytest.mark.parametrize("case", ["wavelet", "learnable", "filterbank"])
def test_gradients_flow_through_cached_chunks(case):
    model, _ = model_and_batch("gpt2", case)
    ids, grads = tokens(2, 20), []
    for chunk in (20, 6, 1):
        cache = DynamicCache()
        parts = [
            model(ids[:, i : i + chunk], past_key_values=cache).logits for i in range(0, 20, chunk)
        ]
        model.zero_grad()
        torch.cat(parts, dim=1).square().mean().backward()
        grads.append(model.transformer.wte.weight.grad.clone())
    for each in grads[1:]:
        torch.testing.assert_close(each, grads[0], rtol=1e-3, atol=1e-4)


def test_a_cache_changes_hands():
    model, ids = lw.attach(gpt2(), "wavelet", context_length=16), tokens(1, 30)
    whole = model(ids, use_cache=False).logits
    cache = DynamicCache()
    with torch.inference_mode():
        for t in range(20):
            model(ids[:, t : t + 1], past_key_values=cache)
    for each in (copy.deepcopy(cache), cache):
        with torch.no_grad():
            rest = [model(ids[:, t : t + 1], past_key_values=each).logits for t in range(20, 30)]
        torch.testing.assert_close(torch.cat(rest, dim=1), whole[:, 20:], rtol=1e-4, atol=1e-4)
