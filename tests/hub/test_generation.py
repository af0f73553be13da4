"""Models with mixers are causal, and the same in chunks, with a cache, padding and documents."""

import itertools

import pytest
import torch
from transformers import DynamicCache, StaticCache

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers, decoder_layers
from latentwave.hub.padding import find_documents, find_padding
from latentwave.mixers.registry import POINTS
from tests.comparing import assert_differ
from tests.hub.models import (
    BACKBONES,
    EVERY_BACKBONE,
    EVERY_POINT,
    FITTING,
    GREEDY,
    KINDS,
    MORE_BACKBONES,
    POINTS_INSIDE,
    UNUSUAL_BACKBONES,
    cache_of,
    cached,
    chunked,
    gpt2,
    llama,
    mixed,
    padded,
    points_for,
    tokens,
    trainable,
)

# Every kind at its default points in the usual run; all its cases with the slow checks.
WHERE = {kind: (*case, None) for kind, case in KINDS.items()}
WHERE |= {f"short_conv at {point}": ("short_conv", {}, point) for point in POINTS_INSIDE}
WHERE |= {f"{kind} at all": (kind, {}, list(POINTS)) for kind in ("short_conv", "wavelet")}
MORE = {name: (*case, None) for name, case in FITTING.items() if name not in WHERE}
EVERYWHERE = pytest.mark.parametrize(
    "where", [*WHERE, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)


def build(backbone, where):
    kind, options, points = (WHERE | MORE)[where]
    return mixed((BACKBONES | MORE_BACKBONES)[backbone](), kind, points, **options)


@EVERYWHERE
@EVERY_BACKBONE
def test_causal_and_the_same_in_chunks(backbone, where):
    model, ids = build(backbone, where), tokens(2, 20)
    lw.assert_causal(model)
    whole = model(ids, use_cache=False).logits
    for cuts in ((0, 9, 16, 17, 20), range(21)):
        torch.testing.assert_close(chunked(model, ids, cuts), whole, rtol=1e-4, atol=1e-4)


def without_cache(model, batch, how):
    own = {n: v for n, v in how.items() if n not in ("cache_implementation", "prefill_chunk_size")}
    torch.manual_seed(1)
    return model.generate(**batch, **own, use_cache=False)


WAYS = {
    "beams": {"num_beams": 3},
    "sampling": {"do_sample": True, "top_k": 0},
    "static": {"cache_implementation": "static"},
    "static beams": {"cache_implementation": "static", "num_beams": 3},
    "chunks": {"prefill_chunk_size": 5},
    "several": {"num_return_sequences": 2, "do_sample": True},
}
# Samples, keys and values, a recurrence, and several of them.
STATES = ["wavelet", "adaptive_filterbank", "ema", "short_conv at all"]


@pytest.mark.parametrize(
    ("backbone", "where", "way"),
    [(backbone, where, "greedy") for backbone in BACKBONES for where in WHERE]
    + [("llama", where, way) for where in STATES for way in WAYS]
    + [
        pytest.param(backbone, where, way, marks=pytest.mark.slow)
        for backbone in BACKBONES
        for where in MORE
        for way in ("greedy", *WAYS)
    ],
)
def test_generate_with_cache_equals_without(backbone, where, way):
    model, batch = build(backbone, where), padded(tokens(2, 12))
    how = GREEDY | WAYS.get(way, {})
    torch.manual_seed(1)
    cached = model.generate(**batch, **how)
    assert torch.equal(cached, without_cache(model, batch, how))
    if not how["do_sample"]:
        alone = model.generate(input_ids=batch["input_ids"][1:, 5:], **how)
        assert torch.equal(cached[1, 12:], alone[0, 7:]), "left padding changes tokens"


@pytest.mark.parametrize(
    "where",
    ["wavelet", "ema", "short_conv at all"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("adaptive_filterbank", *MORE)],
)
@pytest.mark.parametrize("backbone", MORE_BACKBONES)
def test_other_backbones(backbone, where, tmp_path):
    plain = MORE_BACKBONES[backbone]()
    ids, kind, options, points = tokens(2, 20), *(WHERE | MORE)[where]
    before, chunks = plain(ids, use_cache=False).logits, chunked(plain, ids)
    if points is None:
        # Some kinds default to queries, which not every layer of every backbone has.
        points, placement = "block", None
    else:
        # Hybrid ones have attention in their middle layer; experts have no one hidden projection.
        points = [p for p in points if p != "mlp_hidden" or backbone != "qwen3_next"]
        placement = [1] if backbone in ("lfm2", "qwen3_next") else None
    model = mixed(plain, kind, points, placement=placement, **options)
    whole = model(ids, use_cache=False).logits
    assert_differ(whole, before)
    lw.assert_causal(model)
    if torch.allclose(chunks, before, rtol=1e-4, atol=1e-4):  # unless it forgets by itself
        torch.testing.assert_close(chunked(model, ids), whole, rtol=1e-4, atol=1e-4)
    batch = padded(ids)
    for way in ("beams", "static") if where == "wavelet" else ():
        how = GREEDY | WAYS[way]
        assert torch.equal(model.generate(**batch, **how), without_cache(model, batch, how))
    cached = model.generate(**batch, **GREEDY)
    assert torch.equal(cached, without_cache(model, batch, GREEDY))
    alone = model.generate(input_ids=ids[1:, 5:], **GREEDY)
    assert torch.equal(cached[1, 20:], alone[0, 15:]), "left padding changes tokens"
    model.save_pretrained(tmp_path)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids, use_cache=False).logits, whole)
    assert torch.equal(lw.detach(model)(ids, use_cache=False).logits, before)


@EVERYWHERE
def test_caches_are_cropped_expanded_and_selected(where):
    model, ids = build("gpt2", where), tokens(2, 20)
    cache = DynamicCache()
    model(ids[:, :15], **cached(cache))
    cache.batch_repeat_interleave(3)
    cache.batch_select_indices(torch.tensor([4, 0]))
    rest = model(ids[[1, 0], 15:], **cached(cache)).logits
    whole = model(ids[[1, 0]], use_cache=False).logits
    torch.testing.assert_close(rest, whole[:, 15:], rtol=1e-4, atol=1e-4)
    prompt = tokens(1, 4).repeat(1, 5)
    if (WHERE | MORE)[where][0] == "ema":
        with pytest.raises(ValueError, match="be cropped"):
            model.generate(prompt, prompt_lookup_num_tokens=3, **GREEDY)
        return
    found = model.generate(prompt, prompt_lookup_num_tokens=3, **GREEDY)
    assert torch.equal(found, model.generate(prompt, **GREEDY))


@EVERYWHERE
@pytest.mark.parametrize(("backbone", "static"), [("gpt2", False), ("llama", True)])
@torch.no_grad()  # or no running sums are kept
def test_padding_anywhere_changes_no_token(backbone, where, static):
    model, ids = build(backbone, where), tokens(2, 50)
    mask = torch.ones_like(ids)
    mask[1, :4] = mask[1, 15:19] = mask[0, 15:17] = 0  # a second turn of a padded batch
    mask[0, 42] = mask[1, 47] = 0
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    if static:
        cache = StaticCache(config=model.config, max_cache_len=64)
    parts = [
        model(
            ids[:, start:stop],
            attention_mask=mask[:, :stop],
            position_ids=places[:, start:stop],
            **cached(cache),
        ).logits
        for start, stop in itertools.pairwise([0, 15, 40, 41, 42, 43, 44, 47, 48, 49, 50])
    ]
    whole = model(ids, attention_mask=mask, position_ids=places, use_cache=False).logits
    for row, real in enumerate(mask.bool()):
        alone = model(ids[row, real][None], use_cache=False).logits[0]
        torch.testing.assert_close(whole[row, real], alone)
        torch.testing.assert_close(torch.cat(parts, dim=1)[row, real], alone)


@pytest.mark.parametrize("points", ["qkv", "attention_output"])
def test_a_recurrence_does_not_read_real_tokens_in_the_place_of_padding(points):
    model, ids = mixed(UNUSUAL_BACKBONES["olmo_hybrid"](), "short_conv", points), tokens(2, 12)
    padded_row = model(**padded(ids), use_cache=False).logits[1, 5:]
    alone = model(ids[1:, 5:], use_cache=False).logits[0]
    torch.testing.assert_close(padded_row, alone, rtol=1e-4, atol=1e-4)


@EVERY_BACKBONE
def test_a_finished_cache_continues(backbone):
    model, ids = build(backbone, "wavelet"), tokens(1, 6)
    whole = model.generate(ids, max_new_tokens=20, do_sample=False)
    first = model.generate(ids, max_new_tokens=8, do_sample=False, return_dict_in_generate=True)
    rest = model.generate(
        first.sequences,
        attention_mask=torch.ones_like(first.sequences),  # or padding is guessed from the ids
        **cached(cache_of(first)),
        max_new_tokens=12,
        do_sample=False,
    )
    assert torch.equal(rest, whole)


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [("wavelet", False), ("learnable_wavelet", False), ("filterbank", False), ("pyramid", True)],
)
def test_gradients_flow_through_cached_chunks(kind, frozen):
    ids, grads = tokens(2, 20), []
    model = mixed(gpt2().requires_grad_(not frozen), kind, context_length=32)
    trained = lw.mixer_parameters(model) if frozen else model.transformer.wte.weight
    for chunk in (20, 6, 1):
        loss = chunked(model, ids, [*range(0, 20, chunk), 20]).square().mean()
        grads.append(torch.autograd.grad(loss, trained))
    for each in grads[1:]:
        torch.testing.assert_close(each, grads[0], rtol=1e-3, atol=1e-4)


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
    separate = torch.cat([model(document).logits for document in documents], dim=1)
    # A mask marks documents too, boolean or added to the scores, and so do positions.
    added = torch.zeros(own.shape, dtype=torch.float64).masked_fill(~own, -torch.inf)
    masks = [{"attention_mask": mask} for mask in (own, added, None)]
    for told in ({"segment_ids": ids}, {"seq_idx": ids}, *masks):
        packed = model(torch.cat(documents, dim=1), **how | told).logits
        torch.testing.assert_close(packed, separate, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_positions_mark_documents_in_training_only_where_attention_sees_them(checkpointing):
    """Without checkpointing, transformers makes a cache by default, and attends across borders."""
    model, ids = trainable(mixed(llama(), "short_conv")), tokens(1, 10)
    positions = {"position_ids": torch.arange(5).repeat(2)[None]}
    if checkpointing:
        model.gradient_checkpointing_enable()
        expected = model(ids[:, 5:], use_cache=False).logits
    else:
        expected = model(ids, attention_mask=torch.ones_like(ids), **positions).logits[:, 5:]
    torch.testing.assert_close(model(ids, **positions).logits[:, 5:], expected)


@pytest.mark.parametrize(("attention", "documents"), [("sdpa", None), ("flash_attention_2", 5)])
def test_flash_attention_reads_documents_from_positions_beside_a_cache(
    attention, documents, monkeypatch
):
    decoder, ids = trainable(mixed(llama(), "short_conv")).model, tokens(1, 10)
    monkeypatch.setattr(decoder.config, "_attn_implementation_internal", attention)
    positions = torch.arange(5).repeat(2)[None]
    call = decoder._call_from({"input_ids": ids, "position_ids": positions})
    found = call.segment_ids
    assert (found if documents is None else int((found == 0).sum())) == documents


def test_packed_documents_in_the_cache_of_a_default_call():
    model, ids = mixed(llama(), "short_conv"), tokens(1, 10)
    segments = torch.arange(10) // 5
    own = ((segments[:, None] == segments) & torch.ones(10, 10).tril().bool())[None, None]
    expected = model(ids, attention_mask=own, use_cache=False).logits
    found = model(ids, attention_mask=own)
    assert torch.equal(found.logits, expected)
    with pytest.raises(UserError, match="10 tokens that the mixers have not seen"):
        model(ids, **cached(cache_of(found)))
    one = model(ids, attention_mask=torch.ones_like(own).tril())
    assert_differ(one.logits, expected)
    model(ids, **cached(cache_of(one)))


def test_documents_found_in_a_mask():
    ids = torch.tensor([[0, 0, 0, 1, 1, 2], [5, 5, 5, 5, 5, 5]])
    real = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]]).bool()
    same = (ids[:, :, None] == ids[:, None, :]) & torch.ones(6, 6).tril().bool()
    mask = (same & real[:, :, None] & real[:, None, :])[:, None]
    found = find_documents(mask, 6)
    assert found.tolist() == [[0, 0, 0, 1, 1, 2], [0] * 6]
    distance = (torch.arange(6)[:, None] - torch.arange(6)).float()
    for forbidden in (torch.finfo().min, -1e4):  # added, with a bias as in ALiBi
        added = torch.where(mask, -distance / 2, forbidden).bfloat16()
        assert torch.equal(find_documents(added, 6), found)
        assert torch.equal(find_padding(added, 6, None, llama().config), real)
    assert find_documents({"full_attention": None, "sliding_attention": mask}, 6) is not None
    assert find_documents(mask[1:], 6) is None
    assert find_documents(mask[..., :3, :], 3) is None
    assert find_documents(real, 6) is None


@pytest.mark.parametrize("kind", lw.list_mixers())
def test_every_kind_at_every_point(kind):
    model, ids = mixed(llama(2), kind, points_for(kind, *POINTS)), tokens(2, 20)
    with torch.no_grad():  # input-dependent mixers square what others amplify
        for parameter in (p for each in all_mixers(model) for p in each.mixer.parameters()):
            parameter.mul_(0.1)
    lw.assert_causal(model)
    torch.testing.assert_close(chunked(model, ids), model(ids, use_cache=False).logits)


@EVERY_BACKBONE
@pytest.mark.parametrize("kind", ["short_conv", "ema", "adaptive_filterbank"])
def test_gradient_checkpointing_of_several_calls_before_one_backward_pass(backbone, kind):
    model, grads = trainable(mixed(BACKBONES[backbone](2), kind, ["qkv", "mlp", "block"])), []
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
        grads.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(grads[1], grads[0])
    torch.testing.assert_close(grads[2], grads[0])
    layer = decoder_layers(model)[0]
    assert layer._gradient_checkpointing_func is not None
    lw.detach(model)
    assert "latentwave" not in type(layer._gradient_checkpointing_func).__module__
