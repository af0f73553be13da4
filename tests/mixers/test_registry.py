import numpy as np
import pytest

import latentwave as lw
from latentwave.errors import UserError
from latentwave.mixers import default_points, register_preset, registry


def test_known_kinds_are_sorted():
    assert lw.list_mixers() == sorted(lw.list_mixers())


def test_a_config_builds_what_the_name_builds():
    config = lw.MixerConfig(kind="wavelet", options={"level": 2})
    mixer = lw.build_mixer(config, channels=8, context_length=16)
    assert mixer.levels == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lw.MixerConfig(kind="wavlet"), "no mixer 'wavlet', did you mean 'wavelet'"),
        (
            lambda: lw.build_mixer("wavelet", channels=8, context_length=16, fractoin=1),
            "no option 'fractoin', did you mean 'fraction'.*num_levels",
        ),
        (
            lambda: lw.build_mixer(
                lw.MixerConfig(kind="wavelet"), channels=8, context_length=16, level=1
            ),
            "inside the MixerConfig.*level",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("wavelet", "level", 2.0, "'level' of mixer 'wavelet' must be int or None, got 2.0"),
        ("wavelet", "level", True, "must be int or None, got True"),
        ("wavelet", "fraction", "half", "must be float, got 'half'"),
        ("wavelet", "residual", "no", "must be bool, got 'no'"),
        ("wavelet", "gated", 1, "must be bool, got 1"),
        ("wavelet", "schedule", 3, "must be list of int, 'halving' or None, got 3"),
        ("wavelet", "schedule", [1, "2"], r"must be list of int.*got \[1, '2'\]"),
        ("wavelet", "mixed", 1, "must be 'last' or 'first', got 1"),
        ("filterbank", "kernel_sizes", 8, "must be list of int or None, got 8"),
    ],
)
def test_a_value_of_another_type_is_refused(kind, name, value, message):
    with pytest.raises(UserError, match=message):
        lw.MixerConfig(kind=kind, options={name: value})


@pytest.mark.unchecked
def test_options_are_a_mapping():
    with pytest.raises(UserError, match="options of mixer 'wavelet' must be a mapping, got 3"):
        lw.MixerConfig(kind="wavelet", options=3)


@pytest.mark.unchecked
def test_numbers_that_mean_the_same_are_taken():
    options = {"level": np.int64(2), "fraction": 1, "schedule": None, "boundary": "zero"}
    mixer = lw.build_mixer("wavelet", channels=4, context_length=16, **options)
    assert mixer.levels == [2, 2, 2, 2]


@pytest.mark.unchecked
@pytest.mark.parametrize("context_length", ["16", 16.0, 0])
def test_a_context_is_an_integer(context_length):
    with pytest.raises(
        ValueError, match="context_length must be an integer from 1 to 16777216, got"
    ):
        lw.build_mixer("wavelet", channels=4, context_length=context_length)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="already registered"):
        lw.register_mixer("wavelet")(type(lw.build_mixer("wavelet", channels=2, context_length=2)))
    with pytest.raises(ValueError, match="'wavelet' is already registered"):
        register_preset("wavelet", kind="ema", options={}, doc="")
    with pytest.raises(ValueError, match="'best' is already registered"):
        lw.register_mixer("best")(type(lw.build_mixer("wavelet", channels=2, context_length=2)))


def test_a_preset_is_a_kind_with_options_of_its_own(monkeypatch):
    monkeypatch.setattr(registry, "_PRESETS", {})
    register_preset(
        "slow",
        kind="ema",
        options={"longest": 90.0},
        points=["mlp"],
        doc="slow averages",
    )
    assert "slow" in lw.list_mixers()
    assert default_points("slow") == ("mlp",)
    config = lw.MixerConfig(kind="slow", options={"residual": True})
    assert config.resolved().options == {"longest": 90.0, "residual": True}
    assert lw.MixerConfig(kind="slow", options={"longest": 99.0}).resolved().options == {
        "longest": 99.0
    }
    mixer = lw.build_mixer("slow", channels=4, context_length=16)
    assert mixer.kind == "ema"
    assert mixer.rates()[-1] == pytest.approx(2 / 91)
    with pytest.raises(UserError, match="mixer 'slow' has no option 'longes', did you mean"):
        lw.MixerConfig(kind="slow", options={"longes": 3.0})
    with pytest.raises(UserError, match="no mixer 'emma', did you mean 'ema'"):
        register_preset("fast", kind="emma", options={}, doc="")
