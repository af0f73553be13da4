from pathlib import Path

import pytest
import yaml

from latentwave.bench.training import (
    BackboneConfig,
    ContestantConfig,
    Recipe,
    TrainingConfig,
    build_model,
    load_recipe,
    recipe_from_dict,
)
from latentwave.bench.training.models import build_classifier
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.mixers import build_mixer

RECIPES = [
    path
    for path in sorted((Path(__file__).parents[3] / "recipes").glob("*.yaml"))
    if not path.stem.startswith(("ladder-", "baseline-search"))  # tested in tests/bench/ladder
]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe_from_dict(recipe.to_dict()) == recipe
    sounds = recipe.corpus.tokenizer_name == "samples"
    for contestant in recipe.contestants.values():
        if recipe.task == "classification":
            build_classifier(
                recipe.backbone,
                contestant,
                class_names=("a", "b"),
                multi_label=False,
                vocab_size=0 if sounds else 32,
                sample_rate=recipe.corpus.sample_rate if sounds else None,
                seed=0,
            )
        else:
            build_model(recipe.backbone, contestant, vocab_size=32, seed=0)


def test_the_published_size_fits_over_the_small_recipes():
    sizes = yaml.safe_load((RECIPES[0].parent / "sizes" / "paper.yaml").read_text())
    small = [path for path in RECIPES if path.stem.endswith("-small")]
    assert small
    for path in small:
        values = yaml.safe_load(path.read_text())
        for group, own in sizes.items():
            values[group] = values.get(group, {}) | own
        recipe = recipe_from_dict(values, str(path))
        assert recipe.backbone.num_layers == 10
        assert list(recipe.contestants) == list(load_recipe(path).contestants)
        for contestant in recipe.contestants.values():
            if contestant.kind is not None:
                build_mixer(
                    contestant.kind,
                    channels=recipe.backbone.hidden_size,
                    context_length=recipe.backbone.context_length,
                    **contestant.options,
                )


OF_A_CONTESTANT = [
    ({"backbone": {"depth": 2}}, "backbone has no 'depth', only arch"),
    ({"backbone": {"context_length": 8}}, "another context_length.*8"),
    ({"backbone": {"num_heads": 5}}, "num_heads=5 must divide"),
    ({"options": {"level": 1}}, "need a kind"),
    ({"points": ["mlp"]}, "need a kind"),
    ({"placement": "all"}, "placement 'all' needs a kind of mixer, or mixers"),
    ({"kind": "ema", "mixers": [{"kind": "ema"}]}, "or mixers, not both"),
    ({"mixers": [{"kind": "ema"}, {"kind": "wavelet"}]}, "cannot share the point 'block'"),
    ({"mixers": ["ema"]}, "contestants.it.mixers.0: .*a mapping of names to values, got 'ema'"),
    ({"mixers": [{"kind": "ema", "place": 1}]}, "mixers.0.place: Unexpected keyword"),
    ({"mixers": [{"kind": "emu"}]}, "did you mean 'ema'"),
]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": {"frontend_strides": [4]}}, r"must be two numbers >= 1, got \[4\]"),
        ({"backbone": {"hidden_size": 10, "num_heads": 4}}, "num_heads=4 must divide"),
        (
            {"backbone": {"positions": "rotary", "hidden_size": 60, "num_heads": 4}},
            "heads of even width, but backbone.hidden_size=60 ÷ backbone.num_heads=4 is 15",
        ),
        (
            {"backbone": {"architecture": "llama", "positions": "learned"}},
            "must be null or one of: rotary, none; got 'learned'",
        ),
        (
            {"backbone": {"architecture": "llama", "dropout": 0.5}},
            'dropout must be 0 with "llama", which has none, got 0.5',
        ),
        ({"backbone": {"num_layers": 0}}, "num_layers must be >= 1, got 0"),
        ({"backbone": {"qk_norm": True}}, "qk_norm needs the architecture"),
        ({"training": {"learning_rate": 0.0}}, "learning_rate must be > 0, got 0"),
        ({"training": {"num_steps": 75}}, "num_steps=75 must be a multiple of.*=100"),
        (
            {"training": {"gradient_accumulation_steps": 3}},
            "gradient_accumulation_steps=3 must divide training.batch_size=16",
        ),
        ({"training": {"steps": 1}}, "training.steps"),
        ({"tuning": {"learning_rates": [1e-3]}}, "several or none"),
        ({"tuning": {"learning_rates": [2e-3, 1e-3]}}, "ascending, got"),
        ({"tuning": {"widen": 2}}, "tuning.widen=2 widens no grid"),
        ({"tuning": {"learning_rates": [1e-3, 2e-3], "widen": -1}}, "widen must be >= 0, got -1"),
        (
            {"tuning": {"learning_rates": [1e-3, 2e-3], "seeds": [0]}},
            r"tuning.seeds \[0\] must not be among the seeds \[0\]",
        ),
        (
            {"tuning": {"num_steps": 75}},
            "tuning.num_steps=75 must be a multiple of training.evaluate_every_steps=100",
        ),
        ({"seeds": [1, 1]}, "distinct"),
        ({"contestants": {"../x": {}}}, "names a folder"),
        ({"bogus": 1}, "bogus"),
        *(({"contestants": {"it": own}}, message) for own, message in OF_A_CONTESTANT),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(UserError, match=message):
        recipe_from_dict({"name": "x", "contestants": {}} | values)


@pytest.mark.unchecked
def test_mistakes_of_callers_are_named():
    with pytest.raises(
        UserError, match="architecture must be 'gpt2', 'llama' or 'encoder', got 'bert'$"
    ):
        BackboneConfig(architecture="bert")
    with pytest.raises(UserError, match="no contestant 'y'"):
        Recipe(name="x", contestants={}).as_seen_by("y")


def test_a_recipe_may_name_a_part_again(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ncontestants: {none: &plain {}, same: *plain}\n")
    assert load_recipe(path).contestants == dict.fromkeys(("none", "same"), ContestantConfig())


def test_a_contestant_sees_its_own_backbone_and_training():
    deeper = ContestantConfig(backbone={"num_layers": 12}, learning_rate=5e-4, num_steps=500)
    recipe = Recipe(
        name="x",
        contestants={"none": ContestantConfig(), "deeper": deeper},
        training=TrainingConfig(learning_rate=1e-3, muon_learning_rate=2e-2),
    )
    seen = recipe.as_seen_by("deeper")
    assert (seen.backbone.num_layers, recipe.backbone.num_layers) == (12, 10)
    assert (seen.training.learning_rate, seen.training.num_steps) == (5e-4, 500)
    assert seen.training.muon_learning_rate == 1e-2
    assert seen.as_seen_by("deeper") == seen
    assert recipe.as_seen_by("none").training == recipe.training


# More are in tests/bench/cli.
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "not a YAML file"),
        ("just words", "holds no recipe"),
        (
            "name: x\ncontestants:\n  it: {kind: ema}\n  none: {}\n  it: {kind: wavelet}\n",
            "bad.yaml is not a YAML file: the key 'it' appears twice in the mapping on lines 3 to",
        ),
    ],
)
def test_files_that_are_no_recipes(content, message, tmp_path):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_recipe(tmp_path / "bad.yaml")


def test_a_contestant_may_have_several_mixers():
    pair = [{"kind": "kv_shift"}, {"kind": "best", "points": ["attention"]}]
    recipe = recipe_from_dict({"name": "x", "contestants": {"it": {"mixers": pair}}})
    contestant = recipe.contestants["it"]
    assert [(each["kind"], each["points"]) for each in contestant.describe_mixers()] == [
        ("kv_shift", ["qkv"]),
        ("dynamic_conv", ["attention"]),
    ]
    model = build_model(BackboneConfig(num_layers=2), contestant, vocab_size=9, seed=0)
    assert {each.point for each in all_mixers(model)} == {"qkv", "attention"}
