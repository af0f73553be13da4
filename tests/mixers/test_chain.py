"""What a chain adds to the contract, which tests/mixers/test_contract.py checks."""

import pytest
import torch

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import attached_mixers
from latentwave.mixers import build_mixer
from tests.comparing import assert_differ
from tests.hub.models import gpt2, tokens
from tests.mixers.cases import randomize

SIZES = {"channels": 12, "context_length": 16}
SMALL = {"num_filters": 3, "kernel_size": 5}


def chain(*mixers, **options):
    entries = [{"kind": kind, "options": given} for kind, given in mixers]
    return randomize(build_mixer("chain", mixers=entries, **SIZES, **options)).double()


def test_it_is_one_after_the_other():
    mixer = chain(("short_conv", {}), ("filterbank", SMALL), ("short_conv", {}))
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    first, second, third = mixer.mixers
    assert torch.equal(mixer(x), third(second(first(x))))
    assert_differ(mixer(x), second(third(first(x))))
    assert mixer.receptive_field == 4 + 5 + 4 - 2
    assert mixer.flops(10) == 2 * first.flops(10) + second.flops(10)
    assert mixer.num_parameters == 2 * first.num_parameters + second.num_parameters


def test_gates_of_its_parts_are_counted():
    gated = chain(("short_conv", {"gated": True}))
    assert gated.flops(10) == chain(("short_conv", {})).flops(10) + 3 * 12 * 10


def test_its_own_gate_covers_what_is_mixed():
    first = ("wavelet", {"mixed": "first", "fraction": 0.25})
    mixer = chain(first, ("short_conv", {"mixed": "first", "fraction": 0.5}), gated=True)
    assert mixer.mixed_range == (0, 6)
    assert len(mixer.fade_gate) == 6


def test_a_recursive_part():
    mixer = chain(("ema", {"longest": 8.0}), ("short_conv", {}), ("ema", {"longest": 4.0}))
    assert mixer.tail_share == 2e-3
    first, _, last = (part.receptive_field for part in mixer.mixers)
    assert mixer.receptive_field == first + last + 2
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    state = mixer.new_state()
    parts = [mixer(x[:, i : i + 7], state=state) for i in range(0, 30, 7)]
    torch.testing.assert_close(torch.cat(parts, dim=1), mixer(x))


def test_one_part_that_looks_ahead_makes_all_look_ahead():
    ahead = ("filterbank", SMALL | {"causal": False})
    assert chain(("wavelet", {})).causal
    mixer = chain(("wavelet", {}), ahead)
    assert not mixer.causal
    with pytest.raises(ValueError, match="causal=False"):
        mixer(torch.zeros(1, 4, 12, dtype=torch.float64), state=mixer.new_state())


def test_saved_in_a_model(tmp_path):
    entries = [{"kind": "wavelet", "options": {"fraction": 0.25}}, {"kind": "short_conv"}]
    model, ids = (
        lw.attach(gpt2(), "chain", mixers=entries, points=["attention", "block"]),
        tokens(1, 20),
    )
    for mixer in attached_mixers(model).values():
        randomize(mixer)
    entries.clear()  # the configuration has a copy of its own
    model.save_pretrained(tmp_path)
    assert "transformer.h.0.latentwave_mixer.mixers.1.kernels" in model.state_dict()
    again = lw.from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert type(attached_mixers(again)[0]).kind == "chain"


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("mixers", "error", "says"),
    [
        ([], ValueError, r"at least one mixer, .*got \[\]"),
        ({"kind": "wavelet"}, ValueError, "must be a list.*got {'kind': 'wavelet'}"),
        ("wavelet", ValueError, "must be a list.*got 'wavelet'"),
        (None, ValueError, "must be a list.*got None"),
        (["wavelet"], UserError, "must be {.*got 'wavelet'"),
        ([{"kind": "wavelet", "fraction": 0.5}], UserError, "got {'kind': .*'fraction': 0.5}"),
        ([{"options": {}}], UserError, "got {'options': {}}"),
        ([{"kind": "wavelets"}], UserError, "did you mean 'wavelet'"),
        ([{"kind": "wavelet", "options": {"fractions": 1}}], UserError, "did you mean 'fraction'"),
        ([{"kind": "wavelet", "options": {"level": 9}}], ValueError, "level must be .*got 9"),
    ],
    ids=str,
)
def test_mistakes_are_named(mixers, error, says):
    with pytest.raises(error, match=says):
        build_mixer("chain", mixers=mixers, **SIZES)
