import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import attached_mixers
from tests.hub.models import BACKBONES, gpt2, tokens


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
    lw.detach(loaded)  # and it can be taken apart as a fresh one can
    assert not attached_mixers(loaded)


def test_sharded_weights_and_no_mixers(tmp_path):
    model, ids = gpt2(), tokens(1, 9)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, model(ids).logits)


@pytest.fixture
def saved(tmp_path):
    lw.attach(gpt2(), "wavelet").save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        lw.from_pretrained(tmp_path / "nothing")


def test_truncated_weights(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        lw.from_pretrained(saved)


def test_missing_weights_file(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match="lacks the weights file"):
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
    (saved / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}})
    )
    with pytest.raises(UserError, match="outside its folder"):
        lw.from_pretrained(saved)


def test_a_config_that_another_tool_wrote(saved):
    config = json.loads((saved / "config.json").read_text())
    config["latentwave"] = {"kind": "wavelet"}
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="not one that attach wrote"):
        lw.from_pretrained(saved)
