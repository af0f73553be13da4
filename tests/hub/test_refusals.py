"""Models and calls that mixers cannot serve are refused with one clear error."""

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.hub.points import POINTS
from tests.comparing import assert_differ
from tests.hub.models import POINTS_INSIDE, UNUSUAL_BACKBONES, llama, tokens
from tests.mixers.cases import randomize


def test_continuous_batching():
    model = lw.attach(llama(), "wavelet")
    for outer in (model, get_peft_model(model, LoraConfig(target_modules=["q_proj"]))):
        with pytest.raises(UserError, match="continuous batching"):
            outer.generate_batch(inputs=[[3, 4, 5], [6]])
    model = lw.detach(outer.unload())
    assert type(model) is transformers.LlamaForCausalLM
    lw.attach(model.model, "wavelet")  # the model around it is as it was: its first step refuses
    with pytest.raises(UserError, match="continuous batching"):
        model(tokens(1, 4), cache=object(), use_cache=False)


def same_layer(model):
    model.model.layers[2] = model.model.layers[0]


def same_mlp(model):
    model.model.layers[2].mlp = model.model.layers[0].mlp


@pytest.mark.parametrize("repeat", [same_layer, same_mlp])
def test_a_module_that_stands_in_two_layers(repeat):
    model = llama()
    repeat(model)
    with pytest.raises(UserError, match="one sequence"):
        lw.attach(model, "short_conv", points="mlp")
    assert not all_mixers(model)
    if repeat is same_mlp:
        lw.attach(model, "short_conv", points="mlp", placement=[1, 2])


def replicated(model):
    how = {"target_modules": ["q_proj"], "layer_replication": [[0, 2], [1, 3]]}
    get_peft_model(model, LoraConfig(r=2, **how))


@pytest.mark.parametrize("repeat", [same_layer, replicated])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_layers_that_are_repeated_after_mixers_were_attached(repeat):
    model = lw.attach(llama(), "short_conv", points=["qkv", "block"], placement="all")
    repeat(model)
    for use_cache in (False, True):
        with pytest.raises(UserError, match="copied or repeated after mixers were attached"):
            model(tokens(1, 5), use_cache=use_cache)


class Wrapper(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *args, **kwargs):
        return self.layer(*args, **kwargs)


def test_layers_may_be_wrapped_after_mixers_were_attached():
    model, ids = lw.attach(llama(), "short_conv", points=["qkv", "block"]), tokens(1, 5)
    expected = model(ids).logits
    model.model.layers = nn.ModuleList(map(Wrapper, model.model.layers))
    assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize(
    ("backbone", "points", "says"),
    [
        ("gemma3n", "block", r"take an input of shape \(2, 1, 2, 16\) for \(1, 2\) tokens"),
        ("minimax", "mlp_output", "MiniMax uses cache of its own"),
    ],
)
def test_layers_of_another_form(backbone, points, says):
    model = UNUSUAL_BACKBONES[backbone]()
    random, training = torch.get_rng_state(), model.training
    with pytest.raises(UserError, match=says):
        lw.attach(model, "short_conv", points=points, context_length=16)
    assert not all_mixers(model)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), random)


def check_points(model, points):
    """Mixers there change nothing at first, and then something."""
    ids = tokens(2, 12)
    before = model(ids).logits
    lw.attach(model, "short_conv", points=points, context_length=16)
    assert {each.point for each in all_mixers(model)} == set(points)
    assert torch.equal(model(ids).logits, before)
    for each in all_mixers(model):
        randomize(each.mixer)
    assert_differ(model(ids).logits, before)


def test_points_where_the_signal_has_its_usual_form():
    model = UNUSUAL_BACKBONES["gemma3n"]()
    check_points(model, POINTS_INSIDE)
    lw.assert_causal(model, num_tokens=12)


class Packed(nn.Module):
    """Weights in a buffer, its widths under the names of BitLinear and AWQ, or of AutoGPTQ."""

    def __init__(self, linear, *names):
        super().__init__()
        self.__dict__ |= dict(zip(names, (linear.in_features, linear.out_features), strict=True))
        self.register_buffer("qweight", linear.weight.detach())

    def forward(self, x):
        return nn.functional.linear(x, self.qweight)


def packed(*names):
    def quantise(model):
        for layer in model.model.layers:
            for owner in (layer.self_attn, layer.mlp):
                for name, child in owner.named_children():
                    if isinstance(child, nn.Linear):
                        setattr(owner, name, Packed(child, *names))
        return model

    return quantise


def int8(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize(
    "quantise", [packed("in_features", "out_features"), packed("infeatures", "outfeatures"), int8]
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:torch.ao.quantization")
def test_layers_whose_weights_are_no_parameters_have_all_points(quantise):
    check_points(quantise(llama().float()).eval(), POINTS)
