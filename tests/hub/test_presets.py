"""Presets such as "best", and mixers that need to know the heads of a projection."""

from pathlib import Path

import pytest
import torch

import latentwave as lw
from latentwave.bench.training import ContestantConfig, build_model, load_recipe
from latentwave.bench.training.contestant import MixerEntry
from latentwave.errors import UserError
from latentwave.hub import all_mixers, decoder_layers
from latentwave.mixers import default_points
from latentwave.mixers.registry import POINTS
from tests.hub.models import BACKBONES, HEAD_KINDS, llama, tiny_backbone_of, tokens
from tests.hub.plain import Decoder

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_best_is_the_default_and_saved_resolved(backbone, tmp_path):
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


def test_best_audio_is_a_short_convolution_at_two_points():
    model = lw.attach(llama(), "best-audio")
    assert {each.point for each in all_mixers(model)} == {"qkv", "mlp"}
    (saved,) = model.config.latentwave["mixers"]
    assert (saved["kind"], saved["options"]) == ("short_conv", {})
    config = lw.MixerConfig(kind="best-audio", options={"kernel_size": 3})
    assert lw.build_mixer(config, channels=8, context_length=16).kernel_size == 3
    (described,) = ContestantConfig(kind="best-audio").describe_mixers()
    assert (described["kind"], described["points"]) == ("short_conv", ["qkv", "mlp"])


def test_presets_inside_chains_are_saved_resolved():
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
        # Options without a kind.
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


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_mixers_of_heads_go_to_keys_and_values_only(kind, tmp_path):
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


@pytest.mark.parametrize("point", [point for point in POINTS if point != "qkv"])
@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_mixers_of_heads_stand_at_their_projections_only(kind, point):
    nested = {"kind": "chain", "options": {"mixers": [{"kind": "ema"}, {"kind": kind}]}}
    chain = lw.MixerConfig(kind="chain", options={"mixers": [nested]})
    says = f"{kind!r} filters the heads .* cannot stand at {point!r}: choose the point 'qkv'"
    model = llama()
    for build in (
        lambda: lw.attach(model, kind, points=point),
        lambda: lw.attach(model, kind, points=["qkv", point], heads="qqkkvv"),
        lambda: lw.attach(model, chain, points=point),
        lambda: lw.attach(model, [("ema", "qkv"), (kind, point)]),
        lambda: ContestantConfig(kind=kind, points=[point]),
        lambda: ContestantConfig(mixers=[MixerEntry(kind=kind, points=[point])]),
    ):
        with pytest.raises(UserError, match=says):
            build()
    assert not all_mixers(model)


@pytest.mark.parametrize(
    ("name", "options", "heads"),
    [
        ("CodeGen", {"rotary_dim": 4, "num_attention_heads": 4}, "qvk" * 4),
        ("GPTBigCode", {"multi_query": False}, "qkv" * 2),
        ("GPTBigCode", {"multi_query": True}, "qqkv"),
    ],
)
def test_heads_in_an_unusual_order(name, options, heads):
    model = tiny_backbone_of(name, **options, intermediate_size=None)()
    lw.attach(model, "kv_shift")
    layer, values = decoder_layers(model)[0], []
    for each in all_mixers(model):
        assert each.mixer.heads == heads
        each.mixer.kernels.data.zero_()
    layer.attn.register_forward_hook(lambda module, args, output: values.append(output[0]))
    model(tokens(1, 9))
    assert torch.equal(values[0], values[0][:, :1].expand_as(values[0])), "all values are zero"


@pytest.mark.parametrize(
    ("name", "options"), [("GPTNeoX", {"rotary_pct": 0.5}), ("Phi", {"partial_rotary_factor": 0.5})]
)
def test_whole_rotary_pairs_are_offset(name, options):
    model = lw.attach(tiny_backbone_of(name, **options, hidden_size=32)(), "key_offset")
    mixer = all_mixers(model)[0].mixer
    head = mixer.taps()[:, 1].view(len(mixer.heads), 16)[mixer.heads.index("k")]
    assert head.nonzero().flatten().tolist() == [2, 3, 6, 7]


def test_heads_of_layers_without_positions():
    model = llama()
    model.config.layer_types = ["full_attention"] * 3
    model.config.rope_parameters = {"full_attention": None}
    lw.attach(model, "key_offset", context_length=16)
    assert {each.mixer.heads for each in all_mixers(model)} == {"kk"}


def test_a_chain_tells_its_mixers_their_heads():
    pair = [
        {"kind": "kv_shift"},
        {"kind": "chain", "options": {"mixers": [{"kind": "key_offset"}]}},
    ]
    model = lw.attach(BACKBONES["llama"](), "chain", mixers=pair, points="qkv")
    found = {}
    for each in all_mixers(model):
        inside = [module for module in each.mixer.modules() if hasattr(module, "heads")]
        found[each.name.rpartition("qkv_")[2]] = [(part.kind, part.heads) for part in inside]
    assert found == {
        "k_proj": [("kv_shift", "kk"), ("key_offset", "kk")],
        "v_proj": [("kv_shift", "vv")],
    }
    with pytest.raises(ValueError, match="list of at least one mixer"):
        lw.attach(BACKBONES["llama"](), "chain", mixers=[], points="qkv")


def test_heads_of_a_plain_model_are_given():
    where = {"layers": "transformer.h", "context_length": 16}
    with pytest.raises(UserError, match='channels of c_attn.*pass heads, .*"qqkkvv"'):
        lw.attach(Decoder(), "kv_shift", **where)
    model = lw.attach(Decoder(), "kv_shift", heads="qqkkvv", **where)
    assert all_mixers(model)[0].mixer.num_parameters == 8
