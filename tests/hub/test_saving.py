"""Mixers saved without the backbone come back exactly; files that do not fit are refused."""

import json

import accelerate
import pytest
import torch

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.hub.parameter_groups import mixer_parameters
from tests.hub.models import BACKBONES, KINDS_FOR_EVERY_POINT, gpt2, mixed, tokens


@pytest.mark.parametrize("kind", KINDS_FOR_EVERY_POINT)
@pytest.mark.parametrize(("backbone", "attached"), [("gpt2", False), ("llama", True)])
def test_mixers_alone_come_back(backbone, kind, attached, tmp_path):
    plain = BACKBONES[backbone]()
    model = mixed(BACKBONES[backbone](), kind, ["mlp", "block"])
    lw.save_mixers(model, tmp_path / "new" / "folder")
    plain.load_state_dict(model.state_dict(), strict=False)
    if attached:
        mixed(plain, kind, ["mlp", "block"])
    again, ids = lw.load_mixers(plain, tmp_path / "new" / "folder"), tokens(2, 20)
    assert again is plain
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert again.config.latentwave == model.config.latentwave


def test_mixers_that_are_not_in_memory_are_neither_loaded_nor_saved(tmp_path):
    lw.save_mixers(mixed(gpt2(), "short_conv"), tmp_path)
    offloaded = accelerate.cpu_offload(mixed(gpt2(), "short_conv"), torch.device("cpu"))
    for move in (lw.load_mixers, lw.save_mixers):
        with pytest.raises(UserError, match="on the meta device, because .* has offloaded it"):
            move(offloaded, tmp_path)


def test_the_files_are_small_and_readable_and_replaced_whole(tmp_path):
    model = mixed(gpt2(), "short_conv", kernel_size=3)
    lw.save_mixers(model, tmp_path)
    lw.save_mixers(model, tmp_path)
    (described,) = json.loads((tmp_path / "mixers.json").read_text())["mixers"]
    assert (described["kind"], described["options"]) == ("short_conv", {"kernel_size": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mixers.json", "mixers.safetensors"]
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 2500


def test_an_interrupted_save_leaves_the_old_files(tmp_path, monkeypatch):
    old = mixed(gpt2(), "short_conv")
    lw.save_mixers(old, tmp_path)
    new = mixed(gpt2(), "short_conv")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        lw.save_mixers(new, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again = lw.load_mixers(gpt2(), tmp_path)
    assert all(map(torch.equal, mixer_parameters(again), mixer_parameters(old)))


def test_another_width_or_depth_is_refused_with_names_and_shapes(tmp_path):
    lw.save_mixers(lw.attach(gpt2(), "short_conv"), tmp_path)
    wide = type(gpt2())(gpt2().config.__class__(n_embd=32, n_layer=3, n_head=2, vocab_size=40))
    before, kernels = wide.config.to_dict(), r"\.latentwave_mixer\.kernels"
    for model, message in (
        (wide, rf"1{kernels}: saved \(16, 4\), model \(32, 4\)"),
        (gpt2(2), rf"missing none, unexpected \['1{kernels}'\]"),
        (gpt2(4), rf"missing \['2{kernels}'\], unexpected none"),
    ):
        with pytest.raises(UserError, match=message):
            lw.load_mixers(model, tmp_path)
        assert not all_mixers(model)
    lw.save_mixers(lw.attach(gpt2(), "wavelet"), tmp_path)  # without parameters
    with pytest.raises(UserError, match="saved for width 16, it has 32"):
        lw.load_mixers(wide, tmp_path)
    assert not all_mixers(wide)
    assert wide.config.to_dict() == before


def test_other_mixers_in_the_model_are_refused_with_what_differs(tmp_path):
    lw.save_mixers(lw.attach(gpt2(), "short_conv"), tmp_path)
    model = mixed(gpt2(), "short_conv", kernel_size=3)
    before = [p.clone() for p in mixer_parameters(model)]
    with pytest.raises(UserError, match=r"saved .*'options': \{\}.*model .*'kernel_size': 3"):
        lw.load_mixers(model, tmp_path)
    assert all(map(torch.equal, mixer_parameters(model), before))


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no mixers to save"):
        lw.save_mixers(gpt2(), tmp_path)
    with pytest.raises(UserError, match=r"there is no .*mixers\.json"):
        lw.load_mixers(gpt2(), tmp_path)
    lw.save_mixers(lw.attach(gpt2(), "ema"), tmp_path)
    weights = tmp_path / "mixers.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(UserError, match="is damaged, or does not belong"):
        lw.load_mixers(gpt2(), tmp_path)
    (tmp_path / "mixers.json").write_text("[]")
    with pytest.raises(UserError, match="not a file that save_mixers wrote"):
        lw.load_mixers(gpt2(), tmp_path)


def test_loaded_mixers_take_the_precision_of_the_model(tmp_path):
    model = mixed(gpt2(), "short_conv")
    lw.save_mixers(model, tmp_path)
    half = lw.load_mixers(gpt2().bfloat16(), tmp_path)
    for own, saved in zip(mixer_parameters(half), mixer_parameters(model), strict=True):
        assert torch.equal(own, saved.bfloat16())
