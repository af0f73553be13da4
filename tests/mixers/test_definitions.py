"""Each kind computes its equation; test_contract.py checks what all have in common."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from latentwave.errors import UserError
from latentwave.functional import causal_fir, causal_moving_average, dynamic_fir, pyramid_sum
from latentwave.mixers import (
    DynamicConvMixer,
    EmaMixer,
    KeyOffsetMixer,
    KvShiftMixer,
    MovingAverageMixer,
    ShortConvMixer,
    TokenShiftMixer,
    WaveletBankMixer,
    WaveletMixer,
    build_mixer,
    head_roles,
    list_mixers,
)
from tests.comparing import assert_same
from tests.mixers.cases import CASES, build_case, randomize


def later(x, by=1):
    return torch.nn.functional.pad(x, (0, 0, by, 0))[:, : x.shape[1]]


def test_ema_equals_scipy():
    mixer = EmaMixer(6, 64).double()
    x = torch.randn(1, 300, 6, dtype=torch.float64)
    y = mixer(x)
    assert torch.equal(y[..., :3], x[..., :3])
    rates = mixer.rates()
    assert rates[[0, -1]].tolist() == pytest.approx([2 / 3, 2 / 65])
    for c, rate in enumerate(rates.tolist(), start=3):
        expected = lfilter([rate], [1.0, rate - 1.0], x[0, :, c].numpy())
        torch.testing.assert_close(y[0, :, c], torch.from_numpy(expected))


def test_ema_in_bfloat16_keeps_its_rates_and_its_state():
    mixer = EmaMixer(2, 256, fraction=1.0).to(torch.bfloat16)
    assert mixer.rates().dtype == torch.float64
    state = mixer.new_state()
    for _ in range(800):
        y = mixer(torch.ones(1, 1, 2, dtype=torch.bfloat16), state=state)
    # In bfloat16 the slow average would stop far from 1, when its steps round to nothing.
    torch.testing.assert_close(y, torch.ones_like(y), rtol=0.01, atol=0)


@pytest.mark.parametrize("logits", [[-110.0, 20.0], [-5.0, -6.25], [110.0, 110.0]])
def test_an_ema_may_learn_any_rates(logits):
    mixer = EmaMixer(2, 16, learnable=True, fraction=1.0)
    with torch.no_grad():
        mixer.rate_logits.copy_(torch.tensor(logits))
    x = torch.randn(1, 40, 2)
    y = mixer(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), mixer.rate_logits)
    reach, exact = mixer.bfloat16().receptive_field, mixer.double()  # both hold these values
    assert reach == exact.receptive_field >= 2
    assert_same(y, exact(x.double()))
    (expected,) = torch.autograd.grad(exact(x.double()).square().sum(), exact.rate_logits)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("logit", "rate"), [(float("nan"), "nan"), (-1e4, "0")])
def test_an_ema_that_went_wrong_in_training_says_so(logit, rate):
    mixer = EmaMixer(2, 16, learnable=True, fraction=1.0)
    torch.nn.init.constant_(mixer.rate_logits[:1], logit)
    with pytest.raises(UserError, match=f"'ema' mixer became {rate} in training.*checkpoint"):
        _ = mixer.receptive_field


def test_moving_average_is_the_wavelet_at_one_level():
    x = torch.randn(2, 30, 8)
    expected = WaveletMixer(8, 16, level=3)(x)
    assert torch.equal(MovingAverageMixer(8, 16, window=8)(x), expected)
    assert torch.equal(MovingAverageMixer(8, 16, level=3)(x), expected)


def test_short_conv_equals_numpy():
    mixer = ShortConvMixer(1, 16).double()
    with torch.no_grad():
        mixer.kernels.copy_(torch.tensor([[0.5, 0.0, -1.0, 2.0]]))
    x = torch.randn(1, 9, 1, dtype=torch.float64)
    signal = x.flatten().numpy()
    expected = signal + np.convolve(signal, [0.5, 0.0, -1.0, 2.0])[:9]
    assert mixer(x).flatten().detach().numpy() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["short_conv", "dynamic_conv"])
def test_short_kernels_may_start_as_haar_averages(kind):
    how = {"channels": 8, "context_length": 64}
    wavelets = build_mixer("wavelet", num_levels=2, fraction=1.0, residual=True, **how)
    x = torch.randn(2, 20, 8)
    torch.testing.assert_close(build_mixer(kind, init="haar", **how)(x), wavelets(x))


def test_token_shift_starts_near_the_identity():
    x = torch.randn(2, 9, 4)
    torch.testing.assert_close(TokenShiftMixer(4, 16)(x), 0.98 * x + 0.02 * later(x))


def test_dynamic_conv_is_its_equation():
    mixer = randomize(DynamicConvMixer(6, 16, kernel_size=3, rank=2)).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    y = mixer(x)
    for t in range(9):
        taps = mixer.kernels + (mixer.down @ x[0, t] @ mixer.up.view(2, -1)).view(3, 6)
        expected = x[0, t] + sum(taps[j] * x[0, t - j] for j in range(min(3, t + 1)))
        torch.testing.assert_close(y[0, t], expected)


def test_a_dynamic_filter_with_constant_taps_is_a_fir_filter():
    x, taps = torch.randn(2, 30, 6), torch.randn(3, 4)
    expected = causal_fir(x, taps.repeat_interleave(2, dim=0))
    for T in (30, 9, 1):
        per_token = taps.T.expand(2, T, 4, 3)
        for each in (per_token, per_token.unbind(2)):
            torch.testing.assert_close(dynamic_fir(x, each), expected[:, 30 - T :])


@pytest.mark.unchecked
def test_dynamic_taps_that_do_not_fit_the_signal_are_refused():
    x = torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match=r"3 tokens and for groups of the 4 channels.* 3 groups"):
        dynamic_fir(x, torch.zeros(1, 3, 2, 3))
    with pytest.raises(ValueError, match="groups of the 4 channels.* 0 groups"):
        dynamic_fir(x, torch.zeros(1, 3, 2, 0))
    for empty in ([], torch.zeros(1, 3, 0, 4)):
        with pytest.raises(ValueError, match="at least one lag, got none"):
            dynamic_fir(x, empty)


@pytest.mark.parametrize("learned", [False, True])
def test_wavelet_bank_is_its_equation(learned):
    mixer = WaveletBankMixer(4, 16, num_groups=2, learned=learned).double()
    torch.nn.init.normal_(mixer.weights)
    torch.nn.init.normal_(mixer.bias)
    x = torch.randn(1, 20, 4, dtype=torch.float64)
    averages = [causal_fir(x, torch.full((4, w), 1 / w, dtype=x.dtype)) for w in (4, 8)]
    bands = [x, later(x), (x - later(x)) / 2, *averages]
    a = (x @ mixer.weights.T + mixer.bias).view(1, 20, 5, 2).repeat_interleave(2, dim=-1)
    expected = x + sum(a[:, :, m] * band for m, band in enumerate(bands))
    torch.testing.assert_close(mixer(x), expected)
    assert ("bands" in dict(mixer.named_parameters())) == learned


def test_the_pyramid_weighs_the_averages_of_every_channel():
    x, weights = torch.randn(2, 40, 3), torch.randn(3, 3)
    averages = [causal_moving_average(x, [0] * k + [3], boundary="zero") for k in range(3)]
    expected = sum(weight * average for weight, average in zip(weights, averages, strict=True))
    torch.testing.assert_close(pyramid_sum(x, weights), expected)


def test_training_a_pyramid_stores_no_averages():
    x = torch.randn(1, 64, 4, requires_grad=True)
    weights = torch.randn(6, 4, requires_grad=True)
    stored = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: stored.append(t.numel()), lambda t: t):
        pyramid_sum(x, weights)
    assert sum(stored) <= 2 * x.numel()


@pytest.mark.parametrize("kind", ["wavelet", "pyramid"])
def test_running_sums_do_not_drift(kind):
    mixer = randomize(build_mixer(kind, channels=4, context_length=64))
    x = torch.randn(1, 2000, 4) + 100.0
    state = mixer.new_state()
    with torch.no_grad():
        steps = [mixer(x[:, t : t + 1], state=state) for t in range(2000)]
        exact = mixer.double()(x.double())
    assert state.recall("x", x.dtype) is not None
    error = (torch.cat(steps, dim=1) - exact).abs().max() / exact.abs().max()
    assert error < 4e-7, "within float32's rounding"


@pytest.mark.parametrize(
    ("projection", "heads", "shared", "roles"),
    [
        ("q_proj", 4, 2, "qqqq"),
        ("v_proj", 4, 2, "vv"),
        ("key", 3, None, "kkk"),
        ("c_attn", 2, None, "qqkkvv"),
        ("qkv_proj", 4, 1, "qqqqkv"),
        ("query_key_value", 2, None, "qkvqkv"),  # GPT-NeoX, BLOOM
        ("query_key_value", 4, 2, "qqkvqqkv"),  # Falcon 40B
        ("query_key_value", 4, 1, "qqqqkv"),  # Falcon 7B
    ],
)
def test_roles_of_heads(projection, heads, shared, roles):
    assert head_roles(projection, heads, shared) == roles


def test_keys_and_values_have_two_taps_per_head():
    mixer = randomize(KvShiftMixer(12, 16, heads="qkvq"))
    x = torch.randn(2, 9, 12)
    y = mixer(x)
    assert mixer.kernels.shape == (2, 2)
    for own, (a, b) in zip((slice(3, 6), slice(6, 9)), mixer.kernels, strict=True):
        torch.testing.assert_close(y[..., own], a * x[..., own] + b * later(x)[..., own])
    assert torch.equal(y[..., :3], x[..., :3])
    assert torch.equal(y[..., 9:], x[..., 9:])


@pytest.mark.parametrize("interleaved", [False, True])
def test_half_of_the_pairs_of_each_key_come_from_the_previous_token(interleaved):
    x = torch.randn(2, 9, 24)
    y = KeyOffsetMixer(24, 16, heads="qkv", interleaved=interleaved)(x)
    moved = [12, 13, 14, 15] if interleaved else [10, 11, 14, 15]
    for channel in range(24):
        expected = later(x) if channel in moved else x
        assert torch.equal(y[..., channel], expected[..., channel])


# Multiplications and additions for one token of 12 channels, counted by hand.
FLOPS = {
    "wavelet": (1 + 1 + 2 + 3 + 3 + 4) + 6,  # an addition per level, a division per channel
    "wavelet-residual": 14 + 6 + 6,
    "wavelet-db2": (1 + 1 + 1 + 2 + 2 + 2) * (4 + 3),  # 4 taps per level
    "learnable": 6 * (16 + 15),
    "learnable-db2": 6 * (10 + 9 + 1),
    "moving-average": 6 * (3 + 1),
    "ema": 6 * 3,
    "ema-learnable": 12 * (3 + 1),
    "short-conv": 12 * (4 + 3 + 1),
    "best-audio": 12 * (4 + 3 + 1),
    "short-conv-plain": 3 * (6 + 5),
    "token-shift": 6 * 3,
    "kv-shift": 12 * 3,
    "key-offset": 12 * 3,
    "pyramid": 12 * (4 * (2 + 1 + 1) + 1),  # per level two additions, a halving, a weight
    # Down to 1 number, up to 48 taps, b added to them, and the filter.
    "best": 2 * 12 + 2 * 48 + 48 + 2 * 48,
    # 10 weights with their biases, 8 taps of 5 bands in 2 groups, and the filter.
    "wavelet-bank": 2 * 12 * 10 + 10 + 2 * 8 * 5 * 2 + 2 * 8 * 12,
    # Taps, ReLU and weight of each filter.
    "filterbank": 12 * 10 * (2 * 8 + 1 + 2),
    "filterbank-multi": 12 * (2 * 2 * (4 + 2 + 8) + 6 * (1 + 2)),
    # The bank, the ends of the mask's Transformer, its projections and its attention.
    "adaptive": 12 * 6 * 19 + 2 * 8 * (12 + 6) + 2 * 12 * 8**2 + 2 * 2 * 8 * 5,
}


@pytest.mark.parametrize("case", FLOPS)
def test_flops_equal_a_count_by_hand(case):
    assert build_case(case).flops(7) == 7 * FLOPS[case]


def test_a_mask_that_looks_ahead_attends_to_twice_the_tokens():
    sizes = {"channels": 12, "context_length": 16, "mask_width": 8, "mask_window": 5}
    one, two = (
        build_mixer("adaptive_filterbank", kernel_size=2, causal=causal, **sizes)
        for causal in (True, False)
    )
    assert two.flops(7) - one.flops(7) == 7 * 2 * 2 * 8 * 4  # scores and sums of 4 more tokens


def test_every_kind_has_flops_counted_by_hand():
    assert {CASES[case][0] for case in FLOPS} | {"dynamic_conv", "chain"} == set(list_mixers())
    assert build_case("wavelet-gated").fade_flops(7) == 7 * 3 * 6
