"""Adapters and quantisers that look for linear layers leave mixers alone."""

import peft
import pytest
import torch
from torch import nn

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.mixers import Mixer, build_mixer
from tests.comparing import assert_differ
from tests.hub.models import gpt2, llama, tokens
from tests.mixers.cases import CASES, CHANNELS, CONTEXT_LENGTH, randomize

KINDS = [kind for kind in lw.list_mixers() if kind not in ("kv_shift", "key_offset")]


@pytest.mark.parametrize("case", CASES)
def test_no_mixer_has_a_linear_layer(case):
    kind, options = CASES[case]
    mixer = build_mixer(kind, channels=CHANNELS, context_length=CONTEXT_LENGTH, **options)
    ours = (Mixer, nn.ModuleList)
    for module in mixer.modules():
        assert not isinstance(module, nn.Linear | nn.Conv1d | nn.Embedding)
        assert isinstance(module, ours) or type(module).__module__.startswith("latentwave.")


def mixed(build, kind, points=("mlp", "block")):
    model = lw.attach(build(), kind, points=points)
    for each in all_mixers(model):
        randomize(each.mixer)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", [gpt2, llama])
def test_lora_on_all_linear_layers(build, kind):
    model, ids = mixed(build, kind), tokens(2, 20)
    expected = model(ids).logits
    before = [type(module) for each in all_mixers(model) for module in each.mixer.modules()]
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules="all-linear", fan_in_fan_out=build is gpt2)
    )
    adapted = [name for name, module in wrapped.named_modules() if hasattr(module, "lora_A")]
    assert len(adapted) >= 3 * 4
    assert not any("latentwave" in name for name in adapted)
    inner = wrapped.get_base_model()
    assert [type(m) for each in all_mixers(inner) for m in each.mixer.modules()] == before
    assert torch.equal(wrapped(input_ids=ids).logits, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_int8_weights_of_torchao(kind):
    quantization = pytest.importorskip("torchao.quantization")
    model, ids = mixed(llama, kind).float(), tokens(2, 20)
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


def test_lora_on_the_projections_that_are_mixed(tmp_path):
    model, ids = mixed(llama, "short_conv", ["qkv", "mlp_hidden"]), tokens(4, 20)
    before = model(ids).logits
    names = sorted({each.name for each in all_mixers(model)})
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], modules_to_save=names)
    adapted = peft.get_peft_model(model, lora)
    assert torch.equal(adapted(input_ids=ids).logits, before)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(4):
        adapted(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
    adapted.eval()
    trained = adapted(input_ids=ids).logits
    assert_differ(trained, before)
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, trained, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, merged(ids).logits)
