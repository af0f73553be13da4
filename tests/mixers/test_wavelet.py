import collections

import pytest
import torch

from latentwave.functional import cascade_taps
from latentwave.mixers import LearnableWaveletMixer, WaveletMixer, build_mixer
from tests.comparing import assert_same


def test_channel_levels_follow_the_formula():
    mixer = WaveletMixer(128, 512)
    assert mixer.levels == [1 + j * 9 // 64 for j in range(64)]
    assert mixer.receptive_field == 512
    assert mixer.num_parameters == 0
    assert not mixer.state_dict()


def test_half_of_the_channels_pass_unchanged():
    x = torch.randn(2, 20, 8)
    last, first = WaveletMixer(8, 16), WaveletMixer(8, 16, mixed="first")
    assert torch.equal(last(x)[..., :4], x[..., :4])
    assert torch.equal(first(x)[..., 4:], x[..., 4:])
    torch.testing.assert_close(first(x.roll(4, -1)).roll(-4, -1), last(x))


@pytest.mark.parametrize(
    ("channels", "options", "counts"),
    [
        (128, {}, {1: 32, 2: 16, 3: 8, 4: 4, 5: 2, 6: 1, 7: 1}),
        (128, {"num_levels": 3}, {1: 32, 2: 16, 3: 16}),
        (2048, {"fraction": 1.0}, {1: 1024, 2: 512, 3: 256, 4: 128, 5: 64, 6: 32, 7: 32}),
        (6, {}, {1: 2, 2: 1}),
    ],
)
def test_halving_halves_the_channels_from_level_to_level(channels, options, counts):
    mixer = WaveletMixer(channels, 128, schedule="halving", **options)
    assert dict(collections.Counter(mixer.levels)) == counts
    assert mixer.levels == sorted(mixer.levels)


def test_a_shorter_schedule_shares_the_channels():
    assert WaveletMixer(16, 16, schedule=[1, 3, 3, 2]).levels == [1, 1, 3, 3, 3, 3, 2, 2]
    assert WaveletMixer(128, 512, schedule=range(1, 10)).levels == WaveletMixer(128, 512).levels


def test_a_schedule_gives_each_channel_its_own_level():
    x = torch.randn(1, 40, 6)
    mixer = WaveletMixer(6, 16, fraction=0.5, schedule=[3, 1, 2])
    y = mixer(x)
    for channel, level in zip((3, 4, 5), (3, 1, 2), strict=True):
        single = WaveletMixer(6, 16, fraction=1.0, level=level)
        torch.testing.assert_close(y[..., channel], single(x)[..., channel])


def test_residual_adds_the_average():
    x = torch.randn(1, 20, 8)
    plain, residual = WaveletMixer(8, 16)(x), WaveletMixer(8, 16, residual=True)(x)
    torch.testing.assert_close(residual[..., 4:], x[..., 4:] + plain[..., 4:])


def test_mean_boundary_keeps_a_constant():
    ones = torch.ones(1, 20, 8)
    torch.testing.assert_close(WaveletMixer(8, 16, boundary="mean")(ones), ones)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "coif1"])
def test_impulse_responses_are_the_taps_of_the_wavelet(wavelet):
    mixer = WaveletMixer(8, 64, wavelet=wavelet).to(torch.bfloat16)
    response = mixer.impulse_response()
    assert mixer.receptive_field == response.shape[1] <= 64
    for channel, level in zip(range(4, 8), mixer.levels, strict=True):
        taps = torch.from_numpy(cascade_taps(wavelet, level))
        expected = torch.nn.functional.pad(taps, (0, response.shape[1] - len(taps)))
        torch.testing.assert_close(response[channel], expected.float())


def test_db1_is_haar():
    x = torch.randn(1, 40, 8)
    assert torch.equal(WaveletMixer(8, 16, wavelet="db1")(x), WaveletMixer(8, 16)(x))


def orthonormal(lowpass):
    """Whether shifts by two taps are orthonormal and the gain at zero is √2, both after √2."""
    h = lowpass.numpy() * 2**0.5
    products = [h[shift:] @ h[: len(h) - shift] for shift in range(0, len(h), 2)]
    expected = [2**0.5, 1.0, *[0.0] * (len(products) - 1)]
    return [h.sum(), *products] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym3"])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_learnable_wavelet_starts_as_the_fixed_one(wavelet, orthogonal):
    x = torch.randn(2, 50, 8)
    learnable = LearnableWaveletMixer(
        8, 64, wavelet=wavelet, max_taps=64, num_levels=3, orthogonal=orthogonal
    )
    assert_same(learnable(x), WaveletMixer(8, 64, wavelet=wavelet, num_levels=3)(x))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("learnable_wavelet", {"orthogonal": True, "wavelet": "db2"}), ("token_shift", {})],
)
def test_taps_of_parameters_in_bfloat16_keep_gain_one(kind, options):
    mixer = build_mixer(kind, channels=8, context_length=512, **options).bfloat16()
    assert_same(mixer.taps().double().sum(1), torch.ones(mixer.num_mixed), share=1e-6)


def test_truncated_haar_kernels_are_scaled_to_gain_one():
    mixer = LearnableWaveletMixer(8, 64, max_taps=20)
    assert mixer.levels == [1, 2, 4, 4]
    assert mixer.receptive_field == 16
    torch.testing.assert_close(mixer.taps().sum(1), torch.ones(4))
    assert mixer.taps()[3].tolist() == pytest.approx(cascade_taps("haar", 4))


def test_filters_stay_orthogonal_while_learned():
    mixer = LearnableWaveletMixer(8, 64, wavelet="db3", level=1, orthogonal=True).double()
    start = mixer.taps().detach().clone()
    optimizer = torch.optim.SGD(mixer.parameters(), lr=0.3)
    x = torch.randn(4, 60, 8, dtype=torch.float64)
    for _ in range(10):
        optimizer.zero_grad()
        mixer(x).diff(dim=1).square().mean().backward()
        optimizer.step()
    taps = mixer.taps().detach()
    assert (taps - start).abs().max() > 0.01
    assert all(orthonormal(row) for row in taps)
