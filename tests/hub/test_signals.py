"""Signals inside layers: causal, cached, padded, packed and checkpointed as between them."""

import pytest
import torch
from transformers import DynamicCache

import latentwave as lw
from latentwave.hub import all_mixers, decoder_layers
from latentwave.hub.padding import find_documents
from tests.hub.models import BACKBONES, every_way, gpt2, llama, tokens
from tests.hub.points import EVERY_BACKBONE, EVERY_POINT, INNER, LENGTH, chunked, mixed

KINDS = pytest.mark.parametrize("kind", ["short_conv", "wavelet"])


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
    separate = torch.cat([model(document).logits for document in documents], dim=1)
    for name in ("segment_ids", "seq_idx"):
        packed = model(torch.cat(documents, dim=1), **how | {name: ids}).logits
        torch.testing.assert_close(packed, separate, rtol=1e-4, atol=1e-4)
    # The blocks of the mask tell them too, boolean or added to the scores, padding between or not.
    added = torch.zeros(own.shape, dtype=torch.float64).masked_fill(~own, -torch.inf)
    for mask in (own, added):
        packed = model(torch.cat(documents, dim=1), **how | {"attention_mask": mask}).logits
        torch.testing.assert_close(packed, separate, rtol=1e-4, atol=1e-4)


def test_documents_that_a_mask_tells():
    ids = torch.tensor([[0, 0, 0, 1, 1, 2], [5, 5, 5, 5, 5, 5]])
    real = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]]).bool()
    same = (ids[:, :, None] == ids[:, None, :]) & torch.ones(6, 6).tril().bool()
    mask = (same & real[:, :, None] & real[:, None, :])[:, None]
    found = find_documents(mask, 6)
    assert found.tolist() == [[0, 0, 0, 1, 1, 2], [0] * 6]
    assert find_documents({"full_attention": None, "sliding_attention": mask}, 6) is not None
    assert find_documents(mask[1:], 6) is None
    assert find_documents(mask[..., :3, :], 3) is None
    assert find_documents(real, 6) is None


@pytest.mark.parametrize("kind", lw.list_mixers())
def test_every_kind_at_every_point(kind):
    model, ids = mixed(llama(), kind, [*INNER, "block"]), tokens(2, 20)
    with torch.no_grad():  # mixers that follow their input square what others have amplified
        for parameter in (p for each in all_mixers(model) for p in each.mixer.parameters()):
            parameter.mul_(0.1)
    model.double()  # random weights make float32's rounding large
    lw.assert_causal(model)
    torch.testing.assert_close(chunked(model, ids), model(ids, use_cache=False).logits)


@EVERY_BACKBONE
@pytest.mark.parametrize("kind", ["short_conv", "ema", "adaptive_filterbank"])
def test_gradient_checkpointing_of_several_calls_before_one_backward_pass(backbone, kind):
    model, grads = mixed(BACKBONES[backbone](), kind, [*INNER, "block"]).train(), []
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
        grads.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(grads[1], grads[0])
    torch.testing.assert_close(grads[2], grads[0])
    layer = decoder_layers(model)[0]
    assert layer._gradient_checkpointing_func is not None
    lw.detach(model)
    assert "latentwave" not in type(layer._gradient_checkpointing_func).__module__
