"""Mixers in the decoders of x-transformers and litgpt, where these are installed."""

import pytest
import torch

import latentwave as lw
from tests.hub.models import randomized, tokens


def mixed(model, **where):
    """Attach, detach and attach mixers; returns token ids and the output for them."""
    ids = tokens(2, 20)
    before = model(ids)
    for again in (True, False):
        randomized(lw.attach(model, "short_conv", **where))
        assert not torch.allclose(model(ids), before)
        if again:
            assert torch.equal(lw.detach(model)(ids), before)
    lw.assert_causal(model, ids)
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(ids), model(ids), rtol=1e-4, atol=1e-4)
    return ids, model(ids)


@pytest.mark.unchecked
def test_x_transformers():
    package = pytest.importorskip("x_transformers", exc_type=ImportError)
    layers = package.Decoder(dim=16, depth=3, heads=2)
    model = package.TransformerWrapper(num_tokens=40, max_seq_len=64, attn_layers=layers).eval()
    ids, whole = mixed(
        model,
        layers="attn_layers.layers",
        points="mlp",
        modules={"mlp": "1"},
        placement=[1, 3, 5],
        context_length=64,
    )
    with torch.no_grad(), lw.streaming(model):
        logits, cache = model(ids[:, :9], return_intermediates=True)
        parts = [logits]
        for t in range(9, 20):
            logits, cache = model(ids[:, : t + 1], cache=cache, return_intermediates=True)
            parts.append(logits[:, -1:])
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.unchecked
def test_litgpt():
    package = pytest.importorskip("litgpt.model", exc_type=ImportError)
    config = package.Config(
        block_size=64,
        vocab_size=40,
        padded_vocab_size=40,
        n_layer=3,
        n_head=2,
        n_embd=16,
        intermediate_size=32,
        mlp_class_name="LLaMAMLP",
        norm_class_name="RMSNorm",
        bias=False,
    )
    model = package.GPT(config).eval()
    points = ["attention", "attention_output", "mlp", "mlp_output", "block"]
    ids, whole = mixed(model, layers="transformer.h", points=points)
    model.set_kv_cache(batch_size=2)
    with torch.no_grad(), lw.streaming(model):
        parts = [model(ids[:, :9], input_pos=torch.arange(9))]
        parts += [model(ids[:, t : t + 1], input_pos=torch.tensor([t])) for t in range(9, 20)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
