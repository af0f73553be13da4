"""The proof of causality: models pass, every kind of leak is found and named."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import CausalityError, all_mixers, decoder_layers
from tests.hub.models import BACKBONES, EVERY_BACKBONE, UNUSUAL_BACKBONES, gpt2, mixed, tokens
from tests.hub.plain import Decoder


def leak(module, inputs, output):
    """The classic one: pairs of tokens share their average."""
    pairs = output.unflatten(1, (-1, 2)).mean(dim=2, keepdim=True)
    return pairs.expand(-1, -1, 2, -1).flatten(1, 2)


@EVERY_BACKBONE
def test_decoders_are_causal_and_left_as_they_were(backbone):
    model = BACKBONES[backbone]().train()
    lw.assert_causal(model)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("backbone", ["opt", "ctrl", "gemma4", "gemma3n"])
def test_embeddings_of_other_forms(backbone):
    model = UNUSUAL_BACKBONES[backbone]()
    lw.assert_causal(model, num_tokens=12)
    if backbone == "gemma3n":
        return
    lw.assert_causal(mixed(model, "wavelet"), num_tokens=12)
    if backbone != "ctrl":  # whose layers give tuples
        decoder_layers(model)[1].register_forward_hook(leak)
        with pytest.raises(CausalityError, match="decoder layer 1 with its mixer leaks"):
            lw.assert_causal(model, num_tokens=12)


def test_the_first_leaking_layer_is_named():
    model = gpt2()
    model.transformer.h[1].register_forward_hook(leak)
    with pytest.raises(CausalityError, match=r"layer 1 leaks the future: changing.* by [\d.]+$"):
        lw.assert_causal(model)


def test_a_change_as_small_as_rounding_may_be_tolerated():
    model = gpt2()
    model.transformer.h[1].register_forward_hook(
        lambda module, inputs, output: output + 1e-15 * output[:, -1:].detach()
    )
    with pytest.raises(CausalityError, match=r"may be rounding.* pass a tolerance$"):
        lw.assert_causal(model)
    lw.assert_causal(model, tolerance=1e-9)


@pytest.mark.parametrize("kind", ["filterbank", "adaptive_filterbank"])
def test_a_leak_that_starts_closed(kind):
    model = lw.attach(gpt2(), kind, causal=False)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(CausalityError, match="decoder layer 0 with its mixer leaks the future"):
        lw.assert_causal(model)
    with pytest.raises(CausalityError, match=f"the {kind!r} mixer leaks"):
        lw.assert_causal(all_mixers(model)[0].mixer)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_a_leak_that_only_gradients_show():
    model = gpt2()
    model.transformer.h[2].register_forward_hook(
        lambda module, inputs, output: output + (output.flip(1) - output.flip(1).detach())
    )
    with pytest.raises(CausalityError, match="decoder layer 2 leaks.*gradient"):
        lw.assert_causal(model)


@pytest.mark.parametrize("compiled", [True, False])
def test_wrapped_models(compiled):
    model, lora = mixed(gpt2(), "wavelet"), {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    model = (
        torch.compile(model, backend="eager")
        if compiled
        else get_peft_model(model, LoraConfig(**lora))
    )
    lw.assert_causal(model)
    decoder_layers(model)[1].register_forward_hook(leak)
    with pytest.raises(CausalityError, match="decoder layer 1 with its mixer leaks"):
        lw.assert_causal(model)


@pytest.mark.parametrize("wrap", [lambda y: y, lambda y: {"a": None, "y": y}, lambda y: (None, y)])
def test_the_first_tensor_of_the_output_of_a_plain_model_is_checked(wrap):
    model, ids = Decoder(), tokens(2, 8)
    model.register_forward_hook(lambda module, args, output: wrap(output))
    lw.assert_causal(model, ids)
    model.head.register_forward_hook(leak)
    with pytest.raises(CausalityError, match="the model's output leaks"):
        lw.assert_causal(model, ids)


def test_too_few_tokens():
    with pytest.raises(UserError, match=r"input_ids must be \(B, T\), got \(8,\)"):
        lw.assert_causal(gpt2(), torch.arange(8))
    with pytest.raises(UserError, match=r"at least two different tokens.*got only 7"):
        lw.assert_causal(gpt2(), torch.full((2, 8), 7))
    with pytest.raises(UserError, match="num_tokens must be >= 2.*got 1"):
        lw.assert_causal(gpt2(), num_tokens=1)
