"""Modules with swapped classes: threads, other libraries' forwards, copies, detach."""

import copy
import pickle
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_submodules

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.mixers.registry import POINTS
from tests.hub import models
from tests.hub.models import BACKBONES, EVERY_BACKBONE, llama, padded, randomized, tokens


def mixed(model, points=POINTS):
    torch.manual_seed(1)
    return models.mixed(model, "short_conv", points, placement="all")


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.unchecked)])
def test_threads_that_run_one_model(compiled):
    model = mixed(llama(2), ["mlp", "block"])
    run = torch.compile(model, backend="eager", fullgraph=True) if compiled else model
    batches = [padded(tokens(2, 20), number) for number in range(1, 7)]  # one for each thread
    expected = [model(**batch, use_cache=False).logits for batch in batches]

    @torch.no_grad()
    def is_right(batch, logits):
        found = (run(**batch, use_cache=False).logits for _ in range(30))
        return all(torch.allclose(each, logits, atol=1e-5) for each in found)

    with ThreadPoolExecutor(len(batches)) as pool:
        assert all(pool.map(is_right, batches, expected))


class Counting(ModelHook):
    def __init__(self):
        self.count = 0

    def pre_forward(self, module, *args, **kwargs):
        self.count += 1
        return args, kwargs


@EVERY_BACKBONE
@pytest.mark.parametrize("hooked_first", [True, False])
def test_hooks_of_accelerate(backbone, hooked_first):
    plain, ids = BACKBONES[backbone](), tokens(2, 20)
    expected = mixed(copy.deepcopy(plain))(ids).logits
    model, hook, before = copy.deepcopy(plain), Counting(), plain(ids).logits
    own = list(model.modules())
    if not hooked_first:
        mixed(model)
    for module in own:
        add_hook_to_module(module, hook)
    if hooked_first:
        mixed(model)
    assert torch.equal(model(ids).logits, expected)
    assert hook.count > len(own) / 2  # lists of modules are not called
    remove_hook_from_submodules(model)
    assert torch.equal(model(ids).logits, expected)
    assert torch.equal(lw.detach(model)(ids).logits, before)


def test_forwards_that_other_code_replaces_on_modules():
    model, ids = mixed(llama()), tokens(2, 20)
    expected, plain = model(ids).logits, llama()
    for layer, own in zip(model.model.layers, plain.model.layers, strict=True):
        layer.mlp.forward = types.MethodType(type(own.mlp).forward, layer.mlp)
    assert torch.equal(model(ids).logits, expected)
    layer.forward = types.MethodType(type(own).forward, layer)
    with pytest.raises(UserError, match="forward of this LlamaDecoderLayer was patched"):
        model(ids)


@EVERY_BACKBONE
def test_classes_come_back_and_names_stay(backbone):
    model, again = BACKBONES[backbone](), BACKBONES[backbone]()
    modules, classes = list(model.modules()), [type(module) for module in model.modules()]
    others = list(again.modules())
    mixed(model), mixed(again)
    assert sum(type(m) is not c for m, c in zip(modules, classes, strict=True)) > 10
    assert [type(m).__name__ for m in modules] == [c.__name__ for c in classes]
    assert [type(m) for m in modules] == [type(m) for m in others], "one for all of a class"
    lw.detach(model)
    assert [type(module) for module in model.modules()] == classes
    assert not any("mixed" in name for m in model.modules() for name in vars(m))


def test_pickled_and_copied_models_are_independent():
    model, ids = mixed(llama()), tokens(2, 20)
    number = len(all_mixers(model))
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert torch.equal(again(ids).logits, model(ids).logits)
        assert not torch.allclose(randomized(again)(ids).logits, model(ids).logits)
        lw.detach(again)
        assert len(all_mixers(model)) == number
