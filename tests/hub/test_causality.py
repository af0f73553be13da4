import pytest
import torch

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
