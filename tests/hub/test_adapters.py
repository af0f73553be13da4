"""Adapters and quantisers leave mixers alone, and mixers stay at their points."""

import contextlib
import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.hub.parameter_groups import mixer_parameters, parameter_groups
from tests.comparing import assert_differ
from tests.hub.models import (
    KINDS_FOR_EVERY_POINT,
    gpt2,
    llama,
    mixed,
    tokens,
    train,
    weights_of_mixers,
)

SAVED = {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["latentwave_mixer"]}


@pytest.mark.parametrize("kind", KINDS_FOR_EVERY_POINT)
@pytest.mark.parametrize("build", [gpt2, llama])
def test_lora_on_all_linear_layers(build, kind):
    model, ids = mixed(build(), kind, ["mlp", "block"]), tokens(2, 20)
    expected = model(ids).logits
    before = [type(module) for each in all_mixers(model) for module in each.mixer.modules()]
    lora = LoraConfig(r=2, target_modules="all-linear", fan_in_fan_out=build is gpt2)
    wrapped = get_peft_model(model, lora)
    adapted = [name for name, module in wrapped.named_modules() if hasattr(module, "lora_A")]
    assert len(adapted) >= 3 * 4
    assert not any("latentwave" in name for name in adapted)
    inner = wrapped.get_base_model()
    assert [type(m) for each in all_mixers(inner) for m in each.mixer.modules()] == before
    assert torch.equal(wrapped(input_ids=ids).logits, expected)


@pytest.mark.parametrize("kind", KINDS_FOR_EVERY_POINT)
def test_int8_weights_of_torchao(kind):
    quantization = pytest.importorskip("torchao.quantization")
    model, ids = mixed(llama(), kind, ["mlp", "block"]).float(), tokens(2, 20)
    plain = model(ids).logits
    before = {
        name: tensor.clone() for name, tensor in model.state_dict().items() if "latentwave" in name
    }
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    weights = model.state_dict()
    assert type(weights["model.layers.0.mlp.up_proj.weight"]) is not torch.Tensor
    for name, tensor in before.items():
        assert type(weights[name]) is torch.Tensor
        assert torch.equal(weights[name], tensor)
    error = (model(ids).logits - plain).norm() / plain.norm()
    assert 0 < error < 0.3


@pytest.mark.parametrize(
    ("kind", "points", "options", "targets"),
    [
        ("wavelet", None, {"gated": True}, ["q_proj", "v_proj"]),
        ("filterbank", None, {"num_filters": 6, "kernel_size": 8}, ["q_proj", "v_proj"]),
        # On the very projections that are mixed.
        ("short_conv", ["qkv", "mlp_hidden"], {}, ["q_proj", "up_proj"]),
    ],
)
def test_trained_together_with_lora_and_exported_again(kind, points, options, targets, tmp_path):
    model, ids = llama(), tokens(4, 30)
    before = model(ids).logits
    lw.attach(model, kind, points=points, **options)
    names = sorted({each.name for each in all_mixers(model)})
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets, modules_to_save=names))
    assert torch.equal(adapted(input_ids=ids).logits, before)
    losses = train(adapted, ids)
    assert losses[-1] < losses[0] - 0.01
    trained = adapted(input_ids=ids).logits
    assert_differ(trained, before)
    prompt = {"input_ids": ids[:, :7], "max_new_tokens": 8, "do_sample": False}
    generated = adapted.generate(**prompt)
    assert torch.equal(generated, adapted.generate(**prompt, use_cache=False))

    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, trained, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path)
    for load in (lw.from_pretrained, AutoModelForCausalLM.from_pretrained):
        with lw.register():
            again = load(tmp_path)
        assert torch.equal(again(ids).logits, merged(ids).logits)
        assert torch.equal(again.generate(**prompt), generated)
    mixers = [each.mixer for each in all_mixers(again)]
    assert all(any(p.any() for p in mixer.parameters()) for mixer in mixers), "mixers were trained"
    lw.detach(merged).save_pretrained(tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert not hasattr(plain.config, "latentwave")


def test_adapters_are_filtered_with_what_they_adapt():
    model, ids = mixed(llama(), "short_conv", ["qkv"], placement="all"), tokens(2, 20)
    before, projection = model(ids).logits, model.model.layers[0].self_attn.q_proj
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(model, lora)
    found = adapted(input_ids=ids).logits
    merged = copy.deepcopy(adapted).merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, found, rtol=1e-4, atol=1e-4)
    assert_differ(found, before)
    assert type(projection) is torch.nn.Linear, "mixed is the sum, not its part"
    # A replacement that bypasses __setattr__ is found at the next call.
    attention = model.model.layers[1].self_attn
    attention._modules["q_proj"] = torch.nn.Linear(16, 16, bias=False).to(model.dtype)
    model(ids)
    assert type(attention.q_proj) is not torch.nn.Linear


@pytest.mark.parametrize("kind", ["short_conv", "wavelet", "adaptive_filterbank"])
def test_mixers_of_a_wrapped_model_alone(kind, tmp_path):
    model = get_peft_model(mixed(llama(), kind), LoraConfig(**SAVED))
    lw.save_mixers(model, tmp_path)
    plain, ids = lw.load_mixers(llama(), tmp_path), tokens(1, 8)
    wrapped = lw.load_mixers(get_peft_model(mixed(llama(), kind), LoraConfig(**SAVED)), tmp_path)
    later = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    later = lw.load_mixers(later, tmp_path)
    weights = weights_of_mixers(model)
    for other in (wrapped, plain, later):
        torch.testing.assert_close(weights_of_mixers(other), weights, rtol=0, atol=0)
    expected = model(ids).logits
    plain.load_state_dict(model.merge_and_unload().state_dict())
    assert torch.equal(plain(ids).logits, expected)


def test_the_mixers_of_the_active_adapter_are_saved(tmp_path):
    config, ids, backbone = LoraConfig(**SAVED), tokens(1, 8), llama()
    model = get_peft_model(mixed(copy.deepcopy(backbone), "short_conv"), config)
    model.add_adapter("other", config)
    for name in ("default", "other"):
        model.set_adapter(name)
        for each in all_mixers(model):
            with torch.no_grad():
                each.mixer.kernels.add_(len(name))
        lw.save_mixers(model, tmp_path / name)
    for name in ("default", "other"):
        model.set_adapter(name)
        alone = lw.load_mixers(copy.deepcopy(backbone), tmp_path / name)
        assert torch.equal(alone(ids).logits, model(ids).logits)
    trained = {id(p) for each in all_mixers(model) for p in each.mixer.parameters()}
    with model.disable_adapter():
        assert not trained & {id(p) for each in all_mixers(model) for p in each.mixer.parameters()}


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        lambda model: get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])),
    ],
    ids=["compile", "peft"],
)
def test_attached_to_a_wrapped_model(wrap, tmp_path):
    model, ids = llama(), tokens(1, 8)
    wrapped = wrap(model)
    left_out = hasattr(wrapped, "peft_config")
    with pytest.warns(match="leaves out mixers") if left_out else contextlib.nullcontext():
        mixed(wrapped, "short_conv")
    expected = model(ids).logits
    lw.save_mixers(wrapped, tmp_path / "mixers")
    again = lw.load_mixers(wrap(llama()), tmp_path / "mixers")
    assert again.config.latentwave == wrapped.config.latentwave == model.config.latentwave
    plain = wrapped.merge_and_unload() if left_out else model
    plain.save_pretrained(tmp_path / "model")
    assert torch.equal(lw.from_pretrained(tmp_path / "model")(ids).logits, expected)
    lw.detach(again)
    assert not hasattr(again.config, "latentwave")


def test_groups_leave_out_what_peft_freezes_and_decay_no_mixers():
    model = mixed(gpt2(), "filterbank")
    names = [f"h.{each.layer_index}.{each.name}" for each in all_mixers(model)]
    config = LoraConfig(target_modules=["c_fc"], modules_to_save=names, fan_in_fan_out=True)
    wrapped = get_peft_model(model, config)
    decayed, others = parameter_groups(wrapped, weight_decay=0.1)
    by_id = {id(p): name for name, p in wrapped.named_parameters()}
    assert all("lora" in by_id[id(p)] for p in decayed["params"])
    assert len(others["params"]) == 4
    assert all("modules_to_save" in by_id[id(p)] for p in others["params"])
    assert {id(p) for p in others["params"]} < {id(p) for p in mixer_parameters(wrapped)}
