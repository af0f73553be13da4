import peft
import pytest
import torch
from torch import nn

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.hub.parameter_groups import mixer_parameters, parameter_groups
from tests.hub.models import BACKBONES, gpt2
from tests.mixers.cases import CASES


def _names(model, group):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for p in group["params"]}


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
def test_a_plain_model_decays_its_matrices(backbone):
    model = BACKBONES[backbone]()
    decayed, others = parameter_groups(model, weight_decay=0.3)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert all("norm" in name or "ln_" in name or "bias" in name for name in _names(model, others))
    everything = [*decayed["params"], *others["params"]]
    assert len(everything) == len({id(p) for p in everything}) == len(list(model.parameters()))


@pytest.mark.parametrize("case", CASES)
def test_no_parameter_of_a_mixer_is_decayed(case):
    kind, options = CASES[case]
    plain = _names(model := gpt2(), parameter_groups(model, weight_decay=0.1)[0])
    lw.attach(model, kind, **options)
    decayed, others = parameter_groups(model, weight_decay=0.1)
    assert _names(model, decayed) == plain
    mixers = {name for name, _ in model.named_parameters() if "latentwave_mixer" in name}
    assert mixers <= _names(model, others)
    assert {id(p) for p in mixer_parameters(model)} == {
        id(p) for name, p in model.named_parameters() if name in mixers
    }


def test_mixers_inside_layers_and_inside_other_modules_are_found():
    model = lw.attach(gpt2(), "short_conv", points=["attention", "mlp_hidden", "block"])
    mixers = {id(p) for p in mixer_parameters(model)}
    assert len(mixers) == len(all_mixers(model)) == 8
    assert {id(p) for p in mixer_parameters(nn.Sequential(nn.Identity(), model))} == mixers


def test_what_peft_freezes_is_in_no_group_and_what_it_trains_is_not_decayed():
    model = lw.attach(gpt2(), "filterbank", num_filters=4, kernel_size=4)
    names = [f"h.{each.layer_index}.{each.name}" for each in all_mixers(model)]
    config = peft.LoraConfig(target_modules=["c_fc"], modules_to_save=names, fan_in_fan_out=True)
    wrapped = peft.get_peft_model(model, config)
    decayed, others = parameter_groups(wrapped, weight_decay=0.1)
    assert all("lora" in name for name in _names(wrapped, decayed))
    assert len(others["params"]) == 4
    assert all("modules_to_save" in name for name in _names(wrapped, others))
    assert {id(p) for p in others["params"]} < {id(p) for p in mixer_parameters(wrapped)}


def test_an_optimizer_takes_the_groups_and_leaves_kernels_alone():
    model = lw.attach(gpt2(), "best")
    (kernel, *_), matrix = mixer_parameters(model), model.transformer.h[0].mlp.c_fc.weight
    before = kernel.clone(), matrix.clone()
    optimizer = torch.optim.SGD(parameter_groups(model, weight_decay=0.5), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(kernel, before[0])
    assert torch.allclose(matrix, 0.95 * before[1])
