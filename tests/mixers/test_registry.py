import dataclasses

import numpy as np
import pytest

import latentwave as lw
from latentwave.errors import UserError
from latentwave.mixers import default_points, register_preset, registry
from latentwave.mixers.base import Projection


def test_a_printed_mixer_shows_its_options():
    sizes = {"channels": 8, "context_length": 64}
    shown = repr(lw.build_mixer("dynamic_conv", rank=2, **sizes))
    assert "channels=8, context_length=64, kernel_size=4, rank=2, init='zero'" in shown
    assert "fraction=0.25" in repr(lw.build_mixer("wavelet", fraction=0.25, **sizes))


def test_unknown_kinds_and_doubled_options_are_refused():
    with pytest.raises(UserError, match="no mixer 'wavlet', did you mean 'wavelet'"):
        lw.MixerConfig(kind="wavlet")
    config = lw.MixerConfig(kind="wavelet")
    with pytest.raises(UserError, match="inside the MixerConfig.*level"):
        lw.build_mixer(config, channels=8, context_length=16, level=1)


@pytest.mark.unchecked
def test_options_may_be_integers_for_floats_and_numbers_of_numpy():
    with pytest.raises(UserError, match="options of mixer 'wavelet' must be a mapping, got 3"):
        lw.MixerConfig(kind="wavelet", options=3)
    options = {"fraction": 1, "schedule": [np.int64(2)], "level": None, "boundary": "zero"}
    mixer = lw.build_mixer("wavelet", channels=4, context_length=16, **options)
    assert mixer.levels == [2, 2, 2, 2]
    window = lw.build_mixer("moving_average", channels=4, context_length=16, window=np.int64(8))
    assert window.receptive_field == 8


@pytest.mark.unchecked
@pytest.mark.parametrize("kind", lw.list_mixers())
def test_sizes_may_be_numpy_integers(kind):
    mixer = lw.build_mixer(kind, channels=np.int64(8), context_length=np.int64(64))
    assert type(mixer.channels) is type(mixer.flops(1)) is type(mixer.receptive_field) is int


@pytest.mark.parametrize("name", ["wavelet", "best"])
def test_a_registered_name_cannot_be_registered_again(name):
    with pytest.raises(ValueError, match=f"'{name}' is already registered"):
        lw.register_mixer(name)(type(lw.build_mixer("ema", channels=2, context_length=2)))
    with pytest.raises(ValueError, match=f"'{name}' is already registered"):
        register_preset(name, kind="ema", options={})


def test_a_preset_stands_for_a_kind_with_options(monkeypatch):
    monkeypatch.setattr(registry, "_PRESETS", {})
    register_preset("slow", kind="ema", options={"longest": 90.0}, points=["mlp"])
    assert "slow" in lw.list_mixers()
    assert default_points("slow") == ("mlp",)
    config = lw.MixerConfig(kind="slow", options={"residual": True})
    assert config.resolved().options == {"longest": 90.0, "residual": True}
    other = lw.MixerConfig(kind="slow", options={"longest": 99.0})
    assert other.resolved().options == {"longest": 99.0}
    mixer = lw.build_mixer("slow", channels=4, context_length=16)
    assert mixer.kind == "ema"
    assert mixer.rates()[-1] == pytest.approx(2 / 91)
    with pytest.raises(UserError, match="mixer 'slow' has no option 'longes', did you mean"):
        lw.MixerConfig(kind="slow", options={"longes": 3.0})
    with pytest.raises(UserError, match="no mixer 'emma', did you mean 'ema'"):
        register_preset("fast", kind="emma", options={})
    with pytest.raises(UserError, match=r"points must be one or more of .* got \['mlp', 'mpl'\]"):
        register_preset("fast", kind="ema", options={}, points=["mlp", "mpl"])
    assert "fast" not in lw.list_mixers()


def test_presets_find_their_heads_at_a_projection(monkeypatch):
    monkeypatch.setattr(registry, "_PRESETS", {})
    register_preset("shifted", kind="kv_shift", options={"heads": "qqkv"})
    keys = lw.MixerConfig(kind="kv_shift", options={"heads": "k"})
    at = Projection(name="k_proj")
    assert lw.MixerConfig(kind="shifted").at_projection(at) == keys
    chain = lw.MixerConfig(kind="chain", options={"mixers": [{"kind": "shifted"}]})
    assert chain.at_projection(at).options == {"mixers": [dataclasses.asdict(keys)]}


def test_a_preset_may_build_on_another(monkeypatch):
    monkeypatch.setattr(registry, "_PRESETS", dict(registry._PRESETS))
    register_preset("richer", kind="best", options={"rank": 2}, points="qkv")
    register_preset("longer", kind="richer", options={"kernel_size": 8})
    assert default_points("richer") == default_points("longer") == ("qkv",)
    mixer = lw.build_mixer("longer", channels=8, context_length=16)
    assert (mixer.kind, mixer.rank, mixer.kernel_size) == ("dynamic_conv", 2, 8)
