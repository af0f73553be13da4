"""Models saved with mixers come back exactly; damaged, foreign or unsafe folders are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import attached_mixers
from tests.comparing import assert_same
from tests.hub.models import BACKBONES, gpt2, llama, mixed, points_for, tiny_backbone_of, tokens
from tests.mixers.cases import randomize


@pytest.mark.parametrize("backbone", BACKBONES)
def test_save_and_load_are_exact(backbone, tmp_path):
    model, ids = lw.attach(BACKBONES[backbone](), "wavelet", boundary="mean"), tokens(2, 20)
    model.save_pretrained(tmp_path)
    loaded = lw.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert loaded.config.latentwave == model.config.latentwave
    assert {p.name for p in tmp_path.iterdir()} <= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }
    lw.detach(loaded)
    assert not attached_mixers(loaded)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (llama, {"points": "mlp", "modules": {"mlp": "mlp.gate_proj"}}),
        # Its layers make weights on the host while the model is built on the meta device.
        (tiny_backbone_of("DiffLlama", num_key_value_heads=2), {}),
    ],
    ids=["modules", "host"],
)
def test_named_modules_and_weights_made_on_the_host_come_back(build, options, tmp_path):
    model, ids = mixed(build(), "short_conv", **options), tokens(1, 9)
    model.save_pretrained(tmp_path)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, model(ids).logits)


def test_names_that_old_checkpoints_replace(tmp_path):
    """Those of Mixtral call an MLP "block_sparse_moe", in the middle of any name."""
    model = tiny_backbone_of("Mixtral", num_key_value_heads=1, num_local_experts=2)().float()
    ids = tokens(1, 9)
    mixed(model, "short_conv", ["mlp", "mlp_output"]).save_pretrained(tmp_path)
    with lw.register():
        same = AutoModelForCausalLM.from_pretrained(tmp_path)
    for again in (lw.from_pretrained(tmp_path), same):
        assert_same(again(ids).logits, model(ids).logits)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert_same(plain(ids).logits, lw.detach(model)(ids).logits)


@pytest.mark.parametrize(
    ("how", "file"),
    [
        ({"max_shard_size": "10KB"}, "model.safetensors.index.json"),
        ({"variant": "own"}, "model.own.safetensors"),
    ],
)
def test_other_files_and_no_mixers(how, file, tmp_path):
    model, ids = gpt2(), tokens(1, 9)
    model.save_pretrained(tmp_path, **how)
    assert (tmp_path / file).is_file()
    loaded = lw.from_pretrained(tmp_path, variant=how.get("variant"))
    assert_same(loaded(ids).logits, model(ids).logits)


@pytest.fixture
def saved(tmp_path):
    lw.attach(gpt2(), "wavelet").save_pretrained(tmp_path)
    return tmp_path


def test_missing_and_truncated_files(saved):
    with pytest.raises(UserError, match=r"no config\.json"):
        lw.from_pretrained(saved / "nothing")
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        lw.from_pretrained(saved)
    weights.unlink()
    with pytest.raises(UserError, match="has no weights file"):
        lw.from_pretrained(saved)


def test_weights_of_another_model(saved):
    path = saved / "model.safetensors"
    weights = load_file(path)
    name = "transformer.h.0.ln_1.weight"
    save_file({**weights, name: torch.zeros(5)}, path, {"format": "pt"})
    with pytest.raises(UserError, match=rf"{name}: saved \(5,\), model \(16,\)"):
        lw.from_pretrained(saved)
    del weights[name]
    save_file({**weights, "stray": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(UserError, match=rf"missing \['{name}'\], unexpected \['stray'\]"):
        lw.from_pretrained(saved)


def test_an_index_cannot_name_files_outside(saved):
    (saved / "model.safetensors").unlink()
    (saved / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}})
    )
    with pytest.raises(UserError, match="outside its folder"):
        lw.from_pretrained(saved)


def registered(path, **options):
    with lw.register():
        return AutoModelForCausalLM.from_pretrained(path, **options)


@pytest.mark.parametrize("load", [lw.from_pretrained, registered])
def test_precision_and_device_map(load, tmp_path):
    model = mixed(gpt2(), "filterbank")
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path, dtype=torch.bfloat16, device_map={"": "cpu"})
    for name, tensor in model.state_dict().items():
        expected = tensor.bfloat16() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[name], expected), name


def test_constants_survive_precision_and_loading(tmp_path):
    model = lw.attach(gpt2(), "wavelet", wavelet="db2", schedule=[2, 1, 2, 1, 1, 2, 1, 2])
    lw.attach(gpt2(), "wavelet").bfloat16().save_pretrained(tmp_path / "half")
    model.save_pretrained(tmp_path / "whole")
    mixer = attached_mixers(lw.from_pretrained(tmp_path / "whole", dtype=torch.bfloat16))[0]
    x = torch.randn(1, 30, 16)
    assert torch.equal(mixer(x), attached_mixers(model)[0](x))
    assert lw.from_pretrained(tmp_path / "half").dtype == torch.bfloat16


def test_a_model_from_the_configuration_alone_has_mixers():
    model = mixed(gpt2(), "adaptive_filterbank")
    with lw.register():
        fresh = AutoModelForCausalLM.from_config(model.config).eval()
        fresh.init_weights()
    assert len(attached_mixers(fresh)) == 2
    ids = tokens(1, 20)
    expected = fresh(ids).logits
    assert torch.equal(lw.detach(fresh)(ids).logits, expected), "it starts as the identity"


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("load", [lw.from_pretrained, registered])
def test_a_model_around_the_one_with_mixers_is_saved_with_them(backbone, load, tmp_path):
    model, ids = BACKBONES[backbone](), tokens(2, 10)
    lw.attach(model.base_model, "short_conv", points=["mlp", "block"])
    randomize(model.base_model)
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path)(ids).logits, model(ids).logits)
    for plain in (lw.detach(model), model.base_model):
        plain.save_pretrained(tmp_path)
        assert not attached_mixers(load(tmp_path))


def test_a_configuration_shared_with_a_model_that_has_mixers_is_refused(tmp_path):
    model = gpt2()
    twin = type(model)(model.config)
    lw.attach(model.transformer, "wavelet")
    twin.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="mixers, but its weights have none"):
        lw.from_pretrained(tmp_path)
    plain = lw.from_pretrained(tmp_path, config=gpt2().config)
    assert not attached_mixers(plain)


def test_another_head_on_the_same_decoder(saved):
    ids = tokens(2, 10)
    with lw.register():
        base = AutoModel.from_pretrained(saved)
    whole = lw.from_pretrained(saved)
    assert len(attached_mixers(base)) == 2
    assert torch.equal(base(ids).last_hidden_state, whole.transformer(ids).last_hidden_state)


@pytest.mark.parametrize("kind", lw.list_mixers())
def test_every_kind_is_noticed_by_transformers_alone(kind, tmp_path):
    lw.attach(gpt2(), kind, points=points_for(kind, "attention_output")).save_pretrained(tmp_path)
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not attached_mixers(model)
    assert {name.split("latentwave_mixer")[0] for name in info["unexpected_keys"]} == {
        f"transformer.h.{index}." for index in range(3)
    }


@pytest.mark.parametrize(
    "option", [{"trust_remote_code": True}, {"use_safetensors": False}, {"gguf_file": "m.gguf"}]
)
def test_what_is_not_safe_is_refused(saved, option):
    with pytest.raises(UserError, match=next(iter(option))):
        lw.from_pretrained(saved, **option)
