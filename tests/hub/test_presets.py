from pathlib import Path

import pytest

import latentwave as lw
from latentwave.bench.training import load_recipe
from latentwave.hub import all_mixers
from latentwave.hub.presets import PRESETS
from tests.hub.models import BACKBONES, tokens

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_best_is_what_attach_takes_and_what_the_model_remembers(backbone, tmp_path):
    model = lw.attach(BACKBONES[backbone]())
    preset = PRESETS["best"]
    saved = model.config.latentwave
    # Not the name: a later version may mean something else by it.
    assert saved["kind"] == preset.kind
    assert {each.point for each in all_mixers(model)} == set(preset.points)
    lw.assert_causal(model)
    model.save_pretrained(tmp_path)
    ids = tokens(1, 20)
    again = lw.from_pretrained(tmp_path)
    assert (again(ids).logits == model(ids).logits).all()


def test_options_and_points_of_a_preset_can_be_overridden():
    model = lw.attach(BACKBONES["llama"](), "best", points="attention", gated=True)
    assert {each.point for each in all_mixers(model)} == {"attention"}
    assert model.config.latentwave["options"]["gated"] is True


def test_the_recipe_best_trains_the_preset():
    preset = PRESETS["best"]
    contestant = load_recipe(RECIPES / "best.yaml").contestants["best"]
    assert contestant.kind == preset.kind
    assert contestant.options == dict(preset.options)
    assert tuple(contestant.points) == preset.points
