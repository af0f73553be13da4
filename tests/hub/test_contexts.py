"""Documents, padding and state where several models or unusual layers meet."""

import functools
import itertools
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import latentwave as lw
from latentwave.errors import UserError
from tests.comparing import assert_differ, assert_same
from tests.hub import models
from tests.hub.models import tokens
from tests.hub.plain import Decoder


def mixed(model=None, points=("mlp", "block"), **more):
    where = {"layers": "transformer.h"} | more
    return models.mixed((model or Decoder()).double(), "short_conv", points, **where)


def test_models_inside_streaming_keep_their_own_states():
    """For example a draft model beside its target, and a teacher that does not stream."""
    target, draft, teacher, ids = mixed(), mixed(), mixed(), tokens(2, 20)
    whole = target(ids), draft(ids), teacher(ids)
    caches, parts = ({}, {}), ([], [])
    with torch.no_grad(), lw.streaming(target), lw.streaming(draft) as state:
        for start, stop in itertools.pairwise([0, 9, 10, 20]):
            for model, cache, part in zip((target, draft), caches, parts, strict=True):
                part.append(model(ids[:, start:stop], cache=cache))
            assert_same(teacher(ids), whole[2])
        for part, expected in zip(parts, whole, strict=False):
            assert_same(torch.cat(part, dim=1), expected)
        state.reset()  # the draft's alone
        assert_same(draft(ids), whole[1])
        assert_differ(target(ids), whole[0])


@pytest.mark.unchecked
@pytest.mark.parametrize("name", ["segment_ids", "padding_mask"])
@pytest.mark.parametrize(("value", "got"), [([[0, 1]], "list"), (torch.ones(2), r".*\(2,\)")])
def test_documents_are_tensors_with_two_dimensions(name, value, got):
    with pytest.raises(UserError, match=rf"{name} must be a tensor \(batch, tokens\), got {got}"):
        lw.documents(**{name: value}).__enter__()


@pytest.mark.unchecked
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_ids_of_documents_are_integers(dtype):
    model, ids = models.mixed(models.gpt2(), "short_conv"), torch.zeros(1, 3, dtype=torch.int64)
    segments = torch.tensor([[0, 0, 1]])
    message = rf"segment_ids must be integers.* got {dtype}: pass segment_ids.long\(\)"
    with pytest.raises(ValueError, match=message), lw.documents(segments.to(dtype)):
        model(ids, use_cache=False)
    with pytest.raises(ValueError, match=message):
        model(ids, segment_ids=segments.to(dtype), use_cache=False)
    for integers in (torch.uint8, torch.int16, torch.int32):
        model(ids, segment_ids=segments.to(integers), use_cache=False)


class Masked(nn.Module):
    """A layer whose signal comes after a mask that all calls share."""

    def __init__(self):
        super().__init__()
        self.block = Decoder().transformer.h[0]

    def forward(self, *, mask, x):
        return self.block(x) * mask


def test_checkpointed_layers_are_recognised_by_their_signal():
    layer = mixed(nn.Sequential(Masked()), layers="", points="block", placement="all")[0]
    inputs, mask = torch.randn(2, 2, 20, 16, dtype=torch.float64), torch.ones(1, 20, 16)
    segments = [(torch.arange(20) // size).expand(2, -1) for size in (7, 5)]

    def grads(run):
        layer.zero_grad()
        losses = []
        for x, own in zip(inputs, segments, strict=True):
            with lw.documents(own):
                losses.append(run(mask=mask, x=x.requires_grad_()).square().sum())
        sum(losses).backward()
        return [p.grad.clone() for p in layer.parameters()]

    checkpointed = functools.partial(checkpoint, layer, use_reentrant=False)
    torch.testing.assert_close(grads(checkpointed), grads(layer))


class Named(NamedTuple):
    hidden: torch.Tensor
    cost: int


class Returning(nn.Module):
    """A layer that returns more than its signal, or something else."""

    def __init__(self, wrap):
        super().__init__()
        self.norm, self.wrap = nn.LayerNorm(16), wrap

    def forward(self, *, x):
        return self.wrap(self.norm(x))


@pytest.mark.parametrize("wrap", [lambda x: (x, 1), lambda x: [x, 1], lambda x: Named(x, 1)])
def test_the_signal_is_the_first_of_several_outputs(wrap):
    layer, x = Returning(wrap), torch.randn(1, 9, 16)
    plain = layer(x=x)
    lw.attach(nn.Sequential(layer), "wavelet", layers="", placement="all", context_length=16)
    mixed = layer(x=x)
    assert type(mixed) is type(plain)
    assert_differ(mixed[0], plain[0])
    assert mixed[1:] == plain[1:]


@pytest.mark.parametrize(
    ("wrap", "got"), [(lambda x: {"x": x}, "dict"), (lambda x: (None, x), "NoneT")]
)
def test_outputs_without_a_signal_are_refused(wrap, got):
    layer = Returning(wrap)
    lw.attach(nn.Sequential(layer), "wavelet", layers="", placement="all", context_length=16)
    with pytest.raises(UserError, match=f"its first item, of Returning 0 is a {got}"):
        layer(x=torch.randn(1, 9, 16))


def test_inputs_without_a_signal_and_masks_of_another_length_are_refused():
    model = mixed(points=["attention"])
    with pytest.raises(UserError, match="the first argument of attn in Block 0 is a NoneType"):
        model.transformer.h[0].attn(None, torch.randn(1, 9, 16))
    with (
        lw.documents(padding_mask=torch.ones(2, 4)),
        pytest.raises(UserError, match=r"must have shape \(2, 16\), .* got \(2, 4\)"),
    ):
        model(tokens(2, 16))
