"""Auto classes restore mixers while they are registered; from_pretrained needs no registration."""

import contextlib
import functools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers, checkpoint
from tests.comparing import assert_same
from tests.hub.models import gpt2, llama, mixed, points_for, tokens
from tests.mixers.cases import CASES

METHODS = ("post_init", "_initialize_weights", "save_pretrained", "from_pretrained")


def methods():
    return [vars(PreTrainedModel)[name] for name in METHODS]


@pytest.fixture
def saved(tmp_path):
    model = mixed(gpt2(), "short_conv", ["mlp", "block"])
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_registration_is_undone(saved):
    before = methods()
    with lw.register():
        assert methods() != before
        inner = lw.register()
        assert len(all_mixers(AutoModelForCausalLM.from_pretrained(saved))) == 5
        inner.undo()
        inner.undo()
        assert len(all_mixers(AutoModelForCausalLM.from_pretrained(saved))) == 5
    assert methods() == before
    assert not all_mixers(AutoModelForCausalLM.from_pretrained(saved))


def test_methods_that_other_code_has_wrapped_stay(saved, monkeypatch):
    registration = lw.register()
    ours = PreTrainedModel.post_init
    monkeypatch.setattr(PreTrainedModel, "post_init", functools.partialmethod(ours))
    theirs = vars(PreTrainedModel)["post_init"]
    registration.undo()
    assert vars(PreTrainedModel)["post_init"] is theirs
    assert not all_mixers(AutoModelForCausalLM.from_pretrained(saved))
    monkeypatch.undo()
    PreTrainedModel.post_init = ours.__wrapped__


def test_from_pretrained_does_not_touch_models_built_at_the_same_time(saved, monkeypatch):
    before, seen, original = methods(), [], checkpoint.restore_mixers
    config = lw.from_pretrained(saved).config

    def build():
        mixers = all_mixers(AutoModelForCausalLM.from_config(config))
        seen.append((methods() == before, len(mixers)))

    def restore(model):
        with ThreadPoolExecutor() as pool:
            pool.submit(build).result()
        build()
        original(model)

    monkeypatch.setattr(checkpoint, "restore_mixers", restore)
    model = lw.from_pretrained(saved)
    assert len(all_mixers(model)) == 5
    assert seen == [(True, 0)] * 2
    assert type(lw.detach(model)) is type(gpt2())


# Every kind as it is by default, and cases with more parameters.
MIXERS = {kind: (kind, {}) for kind in lw.list_mixers()} | {
    name: CASES[name]
    for name in ("learnable-angles", "chain-nested", "adaptive-deep", "wavelet-gated")
}


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("case", MIXERS)
def test_new_mixers_in_a_plain_checkpoint_are_initialised(case, registered, tmp_path):
    build = gpt2 if registered else llama
    kind, options = MIXERS[case]
    points = points_for(kind, "block", "mlp")
    plain, started = build(), lw.attach(build(), kind, points=points, **options)
    plain.save_pretrained(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        # Memory that stays uninitialised holds 7.
        patch.setattr(torch, "empty_like", lambda t, **o: torch.full_like(t, 7, **o))
        load = AutoModelForCausalLM.from_pretrained if registered else lw.from_pretrained
        with lw.register() if registered else contextlib.nullcontext():
            loaded = load(tmp_path, config=started.config)
    weights = plain.state_dict()
    for name, tensor in loaded.state_dict().items():
        if "latentwave_mixer" not in name:
            assert torch.equal(tensor, weights[name])
    pairs = list(zip(all_mixers(loaded), all_mixers(started), strict=True))
    assert pairs
    for ours, theirs in pairs:
        first = {name: tensor.clone() for name, tensor in theirs.mixer.state_dict().items()}
        theirs.mixer.reset_parameters()
        for name, again in theirs.mixer.state_dict().items():
            own = ours.mixer.state_dict()[name]
            assert not (own == 7).any(), name
            if torch.equal(again, first[name]):  # else it is random
                assert torch.equal(own, again), name


def test_partly_loaded_mixers_keep_what_was_loaded(saved):
    path = saved / "model.safetensors"
    weights = load_file(path)
    name = "transformer.h.0.latentwave_mixer.kernels"
    assert weights.pop(name).any()
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(UserError, match=rf"missing \['{name}'\]"):
        lw.from_pretrained(saved)
    model, info = lw.from_pretrained(saved, output_loading_info=True)
    assert info["missing_keys"] == {name}
    assert not model.transformer.h[0].latentwave_mixer.kernels.any()
    other = "transformer.h.1.latentwave_mixer.kernels"
    assert torch.equal(model.state_dict()[other], weights[other])


@pytest.mark.parametrize(
    "options",
    [
        {"local_files_only": True},
        {"token": False, "revision": "main"},
        {"trust_remote_code": False, "use_safetensors": True},
        {"dtype": torch.float32, "device_map": "cpu"},
        {"attn_implementation": "eager", "low_cpu_mem_usage": True},
        {"ignore_mismatched_sizes": True, "cache_dir": "/nowhere"},
        {"use_cache": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_transformers_are_taken(saved, options):
    ids = tokens(1, 9)
    model = lw.from_pretrained(saved, **options)
    assert_same(model(ids).logits, lw.from_pretrained(saved)(ids).logits)
    if "use_cache" in options:
        assert model.config.use_cache is False
    if "attn_implementation" in options:
        assert model.config._attn_implementation == "eager"


def test_other_shapes_are_initialised_if_asked_for(saved):
    config = json.loads((saved / "config.json").read_text())
    config["latentwave"]["mixers"][0]["options"] = {"kernel_size": 3}
    (saved / "config.json").write_text(json.dumps(config))
    for with_info in (False, True):
        with pytest.raises(UserError, match=r"kernels: saved \(16, 4\), model \(16, 3\)"):
            lw.from_pretrained(saved, output_loading_info=with_info)
    model = lw.from_pretrained(saved, ignore_mismatched_sizes=True)
    assert all(not each.mixer.kernels.any() for each in all_mixers(model))


def test_a_subfolder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "repository" / "inner")
    model = lw.from_pretrained(tmp_path / "repository", subfolder="inner")
    assert len(all_mixers(model)) == 5


def test_an_id_on_the_hub_from_its_cache(saved, tmp_path):
    repository = tmp_path / "cache" / "models--somebody--small"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(saved, repository / "snapshots" / commit)
    offline = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    model, ids = lw.from_pretrained("somebody/small", **offline), tokens(1, 9)
    assert torch.equal(model(ids).logits, lw.from_pretrained(saved)(ids).logits)
    assert torch.equal(
        lw.from_pretrained("somebody/small", revision=commit, **offline)(ids).logits,
        model(ids).logits,
    )
    with pytest.raises(UserError, match=r"somebody/other has no model configuration"):
        lw.from_pretrained("somebody/other", **offline)


def test_a_configuration_without_its_class_is_a_language_model(saved):
    config = AutoConfig.from_pretrained(saved)
    config.architectures = None
    assert type(lw.from_pretrained(saved, config=config)).__name__ == "GPT2LMHeadModel"
    llama().save_pretrained(saved)
    assert type(lw.from_pretrained(saved)).__name__ == "LlamaForCausalLM"
