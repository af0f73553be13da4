"""Optimizer groups: matrices of the backbone decay, mixers never do."""

import pytest
from torch import nn

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.hub.parameter_groups import mixer_parameters, parameter_groups
from tests.hub.models import BACKBONES, EVERY_BACKBONE, KINDS, gpt2, mixed


def _names(model, group):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for p in group["params"]}


@EVERY_BACKBONE
def test_a_plain_model_decays_its_matrices(backbone):
    model = BACKBONES[backbone]()
    decayed, others = parameter_groups(model, weight_decay=0.3)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert all("norm" in name or "ln_" in name or "bias" in name for name in _names(model, others))
    everything = [*decayed["params"], *others["params"]]
    assert len(everything) == len({id(p) for p in everything}) == len(list(model.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_no_parameter_of_a_mixer_is_decayed(kind):
    plain = _names(model := gpt2(), parameter_groups(model, weight_decay=0.1)[0])
    mixed(model, kind)
    decayed, others = parameter_groups(model, weight_decay=0.1)
    assert _names(model, decayed) == plain
    mixers = {name for name, _ in model.named_parameters() if "latentwave_mixer" in name}
    assert mixers <= _names(model, others)
    assert _names(model, {"params": mixer_parameters(model)}) == mixers


def test_mixers_inside_layers_and_inside_other_modules_are_found():
    model = lw.attach(gpt2(), "short_conv", points=["attention", "mlp_hidden", "block"])
    mixers = {id(p) for p in mixer_parameters(model)}
    assert len(mixers) == len(all_mixers(model)) == 8
    assert {id(p) for p in mixer_parameters(nn.Sequential(nn.Identity(), model))} == mixers
