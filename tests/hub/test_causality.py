import pytest
import torch
import transformers

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import CausalityError
from tests.hub.models import BACKBONES, gpt2
from tests.mixers.cases import CASES, build_case


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("mixed", [False, True])
def test_decoders_are_causal(backbone, mixed):
    model = BACKBONES[backbone]().train()
    if mixed:
        lw.attach(model, "wavelet")
    lw.assert_causal(model)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


SMALL = {"vocab_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2}
GEMMA = SMALL | {
    "vocab_size_per_layer_input": 40,
    "hidden_size": 16,
    "hidden_size_per_layer_input": 8,
    "intermediate_size": 32,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "num_kv_shared_layers": 0,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        # The embedding is narrower than the layers, as in OPT-350m.
        ("OPT", SMALL | {"hidden_size": 16, "word_embed_proj_dim": 8, "ffn_dim": 32}),
        # It is scaled in place.
        ("CTRL", {"vocab_size": 40, "n_embd": 16, "dff": 32, "n_layer": 3, "n_head": 2}),
        # Each layer has an embedding of its own beside it.
        ("Gemma4", GEMMA | {"global_head_dim": 8}),
        ("Gemma3n", GEMMA | {"laurel_rank": 4, "altup_num_inputs": 2}),
    ],
)
def test_embeddings_of_other_forms(name, options):
    if name == "Gemma3n":
        options = options | {"activation_sparsity_pattern": [0.0] * 3}
    config = getattr(transformers, f"{name}{'Text' * ('Gemma' in name)}Config")(**options)
    head = "CTRLLMHeadModel" if name == "CTRL" else f"{name}ForCausalLM"
    model = getattr(transformers, head)(config)
    lw.assert_causal(model, num_tokens=12)
    if name != "Gemma3n":  # whose signal between layers has four dimensions
        lw.assert_causal(lw.attach(model, "wavelet", context_length=16), num_tokens=12)
    leak = Leaky()
    layers = getattr(model, "transformer", None) or getattr(model.model, "decoder", model.model)
    layer = getattr(layers, "h" if name == "CTRL" else "layers")[1]
    layer.register_forward_hook(
        lambda module, args, out: (
            leak(out) if out.__class__ is torch.Tensor and out.dim() == 3 else out
        )
    )
    if name in ("OPT", "Gemma4"):
        with pytest.raises(CausalityError, match="decoder layer 1 with its mixer leaks"):
            lw.assert_causal(model, num_tokens=12)


@pytest.mark.parametrize("case", CASES)
def test_every_mixer_is_causal(case):
    lw.assert_causal(build_case(case))


class Leaky(torch.nn.Module):
    """The classic leak: pairs of tokens share their average."""

    def forward(self, x):
        pairs = x.unflatten(1, (-1, 2)).mean(dim=2, keepdim=True)
        return pairs.expand(-1, -1, 2, -1).flatten(1, 2)


def test_the_first_leaking_layer_is_named():
    model = gpt2()
    leak = Leaky()
    model.transformer.h[1].register_forward_hook(lambda module, args, output: leak(output))
    with pytest.raises(CausalityError, match="decoder layer 1 leaks the future: changing tokens"):
        lw.assert_causal(model)


def test_a_leak_that_only_gradients_show():
    model = gpt2()

    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad.flip(1)

    model.transformer.h[2].register_forward_hook(lambda module, args, out: Straight.apply(out))
    with pytest.raises(CausalityError, match="decoder layer 2 leaks.*gradient"):
        lw.assert_causal(model)


def test_too_few_tokens():
    with pytest.raises(UserError, match="num_tokens must be >= 2.*got 1"):
        lw.assert_causal(gpt2(), num_tokens=1)
