"""Compiled models give what eager ones give, whatever was compiled before in the process.

No test resets the compiler between its models: a graph of the plain model that is reused for one
with mixers is the fault that these tests look for.
"""

import copy
import functools

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch._dynamo.utils import counters

import latentwave as lw
from latentwave.hub import all_mixers, decoder_layers
from latentwave.hub.points import POINTS
from tests.hub.models import BACKBONES, llama, tokens
from tests.mixers.cases import randomize

pytestmark = pytest.mark.unchecked

EVERY_BACKBONE = pytest.mark.parametrize("backbone", BACKBONES)
SIZES = {
    "filterbank": {"num_filters": 6, "kernel_size": 8},
    "adaptive_filterbank": {"num_filters": 6, "kernel_size": 8, "mask_width": 8, "mask_window": 5},
}
compiled = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.loss_type = "ForCausalLM"  # transformers warns without it, which breaks graphs
    return model


def mixed(model, kind="short_conv", points=POINTS, **more):
    lw.attach(model, kind, points=points, context_length=16, **SIZES.get(kind, {}), **more)
    for each in all_mixers(model):
        randomize(each.mixer)
    return model


def step(run, model, ids, **inputs):
    """The loss and every gradient."""
    model.zero_grad()
    loss = run(ids, labels=ids, use_cache=False, **inputs).loss
    loss.backward()
    return [loss.detach()] + [p.grad for p in model.parameters() if p.grad is not None]


def same(run, model, ids, **inputs):
    """Training and evaluation give what the model gives without a compiler."""
    was_training = model.training
    eager = copy.deepcopy(model)
    for training in (True, False):
        torch.testing.assert_close(
            step(run, model.train(training), ids, **inputs),
            step(eager.train(training), eager, ids, **inputs),
            rtol=1e-3 if ids.dtype == torch.int64 else 0,
            atol=1e-5,
        )
    model.train(was_training)


def plain_first(backbone, ids):
    """The compiler has seen the plain model, in both modes."""
    plain = without_dropout(BACKBONES[backbone]())
    same(compiled(plain), plain, ids)


@EVERY_BACKBONE
def test_a_plain_model_was_compiled_before(backbone):
    ids = tokens(2, 20)
    plain_first(backbone, ids)
    model = mixed(without_dropout(BACKBONES[backbone]()))
    same(compiled(model), model, ids)


@EVERY_BACKBONE
def test_attached_and_detached_after_compilation(backbone):
    ids = tokens(2, 20)
    model = without_dropout(BACKBONES[backbone]())
    run = compiled(model)
    same(run, model, ids)
    before = run(ids).logits
    mixed(model)
    same(run, model, ids)
    assert not torch.allclose(run(ids).logits, before)
    lw.detach(model)
    same(run, model, ids)
    torch.testing.assert_close(run(ids).logits, before)


def test_two_option_sets_on_one_class():
    ids = tokens(2, 20)
    for options in ({"kernel_size": 3}, {"kernel_size": 7}, {"residual": False}, {"gated": True}):
        for points in ("mlp", "block"):
            model = mixed(without_dropout(llama()), points=points, **options)
            same(compiled(model), model, ids)
