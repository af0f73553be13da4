from pathlib import Path

import pytest
import torch

import latentwave as lw
from latentwave.bench.training import ContestantConfig, build_model, load_recipe
from latentwave.hub import all_mixers
from latentwave.mixers import default_points
from tests.hub.models import BACKBONES, llama, tokens

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_best_is_what_attach_takes_and_what_the_model_remembers(backbone, tmp_path):
    model = lw.attach(BACKBONES[backbone]())
    config = lw.MixerConfig(kind="best")
    (saved,) = model.config.latentwave["mixers"]
    # Not the name: a later version may mean something else by it.
    assert saved["kind"] == config.resolved().kind == "dynamic_conv"
    assert saved["options"] == config.resolved().options
    assert {each.point for each in all_mixers(model)} == set(default_points("best")) == {"mlp"}
    lw.assert_causal(model)
    model.save_pretrained(tmp_path)
    ids = tokens(1, 20)
    again = lw.from_pretrained(tmp_path)
    assert (again(ids).logits == model(ids).logits).all()


def test_presets_inside_chains_are_remembered_as_what_they_stand_for():
    chain = {"kind": "chain", "options": {"mixers": [{"kind": "best", "options": {"rank": 2}}]}}
    model = lw.attach(llama(), "chain", mixers=[{"kind": "wavelet"}, chain])
    (saved,) = model.config.latentwave["mixers"]
    plain, inner = saved["options"]["mixers"]
    assert plain == {"kind": "wavelet"}
    options = lw.MixerConfig(kind="best", options={"rank": 2}).resolved().options
    assert inner["options"]["mixers"] == [{"kind": "dynamic_conv", "options": options}]


@pytest.mark.parametrize(
    ("mixer", "options", "points"),
    [
        ("best", {"gated": True}, "attention"),
        (lw.MixerConfig(kind="best", options={"rank": 2}), {}, None),
        # Without a kind, no option is refused that nobody passed.
        (None, {"kernel_size": 7, "init": "haar"}, None),
        (None, {"rank": 3}, None),
    ],
)
def test_options_and_points_of_a_preset_can_be_overridden(mixer, options, points):
    model = lw.attach(llama(), *[mixer][: mixer is not None], points=points, **options)
    assert {each.point for each in all_mixers(model)} == {points or "mlp"}
    found = model.config.latentwave["mixers"][0]["options"]
    assert (options or mixer.options).items() <= found.items()


def test_a_recipe_may_name_a_preset():
    contestant = ContestantConfig(kind="best", options={"kernel_size": 3})
    (described,) = contestant.describe_mixers()
    assert described["points"] == ["mlp"]
    assert described["kind"] == "dynamic_conv"
    assert described["options"] == {"kernel_size": 3}
    recipe = load_recipe(RECIPES / "best.yaml")
    model = build_model(recipe.backbone, contestant, vocab_size=9, seed=0)
    assert {each.point for each in all_mixers(model)} == {"mlp"}


@pytest.mark.parametrize("kind", ["kv_shift", "key_offset"])
def test_mixers_of_heads_stand_on_keys_and_values_only(kind, tmp_path):
    model = lw.attach(BACKBONES["llama"](), kind)
    names = {each.name.rpartition("qkv_")[2] for each in all_mixers(model)}
    assert names == ({"k_proj", "v_proj"} if kind == "kv_shift" else {"k_proj"})
    lw.assert_causal(model)
    shared = model.config.num_key_value_heads
    assert {each.mixer.heads for each in all_mixers(model)} <= {"k" * shared, "v" * shared}
    fused = lw.attach(BACKBONES["gpt2"](), kind)
    (roles,) = {each.mixer.heads for each in all_mixers(fused)}
    heads = fused.config.num_attention_heads
    assert roles == "q" * heads + "k" * heads + "v" * heads
    fused.save_pretrained(tmp_path)
    ids = tokens(1, 20)
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, fused(ids).logits)
