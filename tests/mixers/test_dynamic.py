import pytest
import torch

from latentwave.functional import causal_fir, dynamic_fir
from latentwave.mixers import DynamicConvMixer, WaveletBankMixer
from latentwave.mixers.dynamic import FUSED_RANK
from tests.mixers.cases import randomize


def test_dynamic_conv_is_its_equation():
    mixer = randomize(DynamicConvMixer(6, 16, kernel_size=3, rank=2)).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    y = mixer(x)
    for t in range(9):
        taps = mixer.kernels + (mixer.down @ x[0, t] @ mixer.up.view(2, -1)).view(3, 6)
        expected = x[0, t] + sum(taps[j] * x[0, t - j] for j in range(min(3, t + 1)))
        torch.testing.assert_close(y[0, t], expected)


def test_taps_that_do_not_change_are_a_fir_filter():
    x, taps = torch.randn(2, 30, 6), torch.randn(3, 4)
    expected = causal_fir(x, taps.repeat_interleave(2, dim=0))
    for T in (30, 9, 1):
        per_token = taps.T.expand(2, T, 4, 3)
        for each in (per_token, per_token.unbind(2)):
            torch.testing.assert_close(dynamic_fir(x, each), expected[:, 30 - T :])


@pytest.mark.unchecked
@pytest.mark.parametrize("rank", [1, FUSED_RANK, FUSED_RANK + 1])
def test_compiled_taps_of_any_rank_equal_eager_ones(rank):
    mixer = randomize(DynamicConvMixer(8, 16, rank=rank)).double()
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    inputs = [x.requires_grad_(), *mixer.parameters()]
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    got, expected = (torch.autograd.grad(f(x).square().sum(), inputs) for f in (compiled, mixer))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("mixer", [DynamicConvMixer(8, 16), WaveletBankMixer(8, 16)])
def test_it_starts_as_the_identity_and_learns(mixer):
    x = torch.randn(2, 20, 8)
    y = mixer(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    moving = [name for name, p in mixer.named_parameters() if p.grad.abs().max() > 0]
    assert moving == [name for name, _ in mixer.named_parameters() if name != "down"]


def test_dynamic_conv_may_start_as_averages():
    x = torch.randn(1, 12, 2)
    y = DynamicConvMixer(2, 16, init="haar")(x)
    lags = [torch.nn.functional.pad(x, (0, 0, k, 0))[:, :12] for k in range(4)]
    torch.testing.assert_close(y[..., 0], (x + sum(lags[:2]) / 2)[..., 0])
    torch.testing.assert_close(y[..., 1], (x + sum(lags) / 4)[..., 1])


def test_the_gate_of_one_tap_mixes_no_tokens():
    mixer = randomize(DynamicConvMixer(8, 16, kernel_size=1))
    x = torch.randn(1, 12, 8)
    torch.testing.assert_close(mixer(x.flip(1)).flip(1), mixer(x))
    assert mixer.receptive_field == 1


def test_the_default_rank_costs_little():
    layer = 12 * 768**2  # of a Transformer
    assert DynamicConvMixer(768, 1024).num_parameters < 0.02 * layer
    assert WaveletBankMixer(768, 1024).num_parameters < 0.02 * layer


@pytest.mark.parametrize("learned", [False, True])
def test_wavelet_bank_is_its_equation(learned):
    mixer = WaveletBankMixer(4, 16, num_groups=2, learned=learned).double()
    torch.nn.init.normal_(mixer.weights)
    torch.nn.init.normal_(mixer.bias)
    x = torch.randn(1, 20, 4, dtype=torch.float64)
    averages = [causal_fir(x, torch.full((4, w), 1 / w, dtype=x.dtype)) for w in (4, 8)]
    before = torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :20]
    bands = [x, before, (x - before) / 2, *averages]
    a = (x @ mixer.weights.T + mixer.bias).view(1, 20, 5, 2).repeat_interleave(2, dim=-1)
    expected = x + sum(a[:, :, m] * band for m, band in enumerate(bands))
    torch.testing.assert_close(mixer(x), expected)
    assert ("bands" in dict(mixer.named_parameters())) == learned


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (DynamicConvMixer, {"kernel_size": 0}, "between 1 and the context length 16, got 0"),
        (DynamicConvMixer, {"kernel_size": 1, "init": "haar"}, "between 2 .*got 1"),
        (DynamicConvMixer, {"rank": 0}, "rank must be between 1 and the .* channels, got 0"),
        (DynamicConvMixer, {"init": "one"}, "got 'one'"),
        (WaveletBankMixer, {"num_levels": 5}, "between 1 and 4 .*length 16.*got 5"),
        (WaveletBankMixer, {"num_groups": 3}, "must divide the 8 channels, got 3"),
    ],
)
def test_refusals_name_the_value(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(8, 16, **options)


@pytest.mark.unchecked
def test_dynamic_taps_fit_the_signal():
    with pytest.raises(
        ValueError, match=r"the 3 tokens and for groups of the 4 channels.* 3 groups"
    ):
        dynamic_fir(torch.zeros(1, 3, 4), torch.zeros(1, 3, 2, 3))
    with pytest.raises(ValueError, match="at least one lag, got an empty list"):
        dynamic_fir(torch.zeros(1, 3, 4), [])
