"""Chains of mixers: what they add to the contract in test_contract.py."""

import pytest
import torch

import latentwave as lw
from latentwave.mixers import build_mixer
from tests.comparing import assert_differ
from tests.hub.models import gpt2, mixed, tokens
from tests.mixers.cases import randomize

SIZES = {"channels": 12, "context_length": 16}
SMALL = {"num_filters": 3, "kernel_size": 5}


def chain(*mixers, **options):
    entries = [{"kind": kind, "options": given} for kind, given in mixers]
    return randomize(build_mixer("chain", mixers=entries, **SIZES, **options)).double()


def test_each_mixer_reads_the_output_of_the_previous_one():
    mixer = chain(("short_conv", {}), ("filterbank", SMALL), ("short_conv", {}))
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    first, second, third = mixer.mixers
    assert torch.equal(mixer(x), third(second(first(x))))
    assert_differ(mixer(x), second(third(first(x))))
    assert mixer.receptive_field == 4 + 5 + 4 - 2
    assert mixer.flops(10) == 2 * first.flops(10) + second.flops(10)
    assert mixer.num_parameters == 2 * first.num_parameters + second.num_parameters


def test_flops_include_the_gates_of_its_mixers():
    gated = chain(("short_conv", {"gated": True}))
    assert gated.flops(10) == chain(("short_conv", {})).flops(10) + 3 * 12 * 10


def test_its_gate_covers_the_channels_of_all_mixers():
    first = ("wavelet", {"mixed": "first", "fraction": 0.25})
    mixer = chain(first, ("short_conv", {"mixed": "first", "fraction": 0.5}), gated=True)
    assert mixer.mixed_range == (0, 6)
    assert len(mixer.fade_gate) == 6


def test_tails_of_recursive_mixers_add_up():
    mixer = chain(("ema", {"longest": 8.0}), ("short_conv", {}), ("ema", {"longest": 4.0}))
    assert mixer.tail_share == 2e-3
    first, _, last = (part.receptive_field for part in mixer.mixers)
    assert mixer.receptive_field == first + last + 2


def test_a_chain_with_a_noncausal_mixer_is_noncausal():
    ahead = ("filterbank", SMALL | {"causal": False})
    assert chain(("wavelet", {})).causal
    mixer = chain(("wavelet", {}), ahead)
    assert not mixer.causal
    with pytest.raises(ValueError, match="causal=False"):
        mixer(torch.zeros(1, 4, 12, dtype=torch.float64), state=mixer.new_state())


@pytest.mark.parametrize("mixers", [None, 3, [3]])
def test_attach_refuses_anything_but_a_list_of_mixers(mixers):
    with pytest.raises(ValueError, match="must be .*got (None|3)"):
        lw.attach(gpt2(), "chain", mixers=mixers)


def test_a_saved_model_restores_its_chains(tmp_path):
    entries = [{"kind": "wavelet", "options": {"fraction": 0.25}}, {"kind": "short_conv"}]
    model, ids = mixed(gpt2(), "chain", mixers=entries), tokens(1, 20)
    entries.clear()  # the configuration has a copy of its own
    model.save_pretrained(tmp_path)
    assert "transformer.h.0.latentwave_mixer.mixers.1.kernels" in model.state_dict()
    assert torch.equal(lw.from_pretrained(tmp_path)(ids).logits, model(ids).logits)
