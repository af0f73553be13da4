import pytest
import torch

from latentwave.functional import cascade_taps
from latentwave.mixers import LearnableWaveletMixer, WaveletMixer
from tests.comparing import assert_same
from tests.functional.test_lattice import assert_orthonormal


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym3"])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_starts_as_the_fixed_wavelet(wavelet, orthogonal):
    x = torch.randn(2, 50, 8)
    learnable = LearnableWaveletMixer(
        8, 64, wavelet=wavelet, max_taps=64, num_levels=3, orthogonal=orthogonal
    )
    fixed = WaveletMixer(8, 64, wavelet=wavelet, num_levels=3)
    assert_same(learnable(x), fixed(x))


def test_long_haar_kernels_start_cut_and_scaled_to_gain_one():
    mixer = LearnableWaveletMixer(8, 64, max_taps=20)
    assert mixer.levels == [1, 2, 4, 4]
    assert mixer.receptive_field == 16
    torch.testing.assert_close(mixer.taps().sum(1), torch.ones(4))
    assert mixer.taps()[3].tolist() == pytest.approx(cascade_taps("haar", 4))


def test_share_of_the_published_model():
    # 10 layers of width 128: about 2.04 million parameters, and a mixer after all but the last.
    for options, share in (({}, 0.005), ({"orthogonal": True}, 0.0003)):
        assert 9 * LearnableWaveletMixer(128, 512, **options).num_parameters < share * 2_040_000


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
    for row in taps:
        assert_orthonormal(row)


def test_every_tap_is_learned():
    mixer = LearnableWaveletMixer(8, 16)
    mixer(torch.randn(1, 40, 8)).square().sum().backward()
    assert (mixer.kernels.grad != 0).all()


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_taps": 17}, "max_taps must be between 2 and the context length 16, got 17"),
        ({"max_taps": 1}, "between 2 and .* got 1"),
        ({"max_taps": 3, "wavelet": "db2"}, "max_taps must be >= 4 .*'db2', got 3"),
        ({"max_taps": 3, "orthogonal": True}, "max_taps must be >= 4 .*'haar' as angles, got 3"),
        ({"wavelet": "db22"}, "context_length must be >= 44 .*'db22'.* got 16"),
        ({"wavelet": "har"}, "'har', did you mean 'haar'"),
        ({"level": 5}, "level must be between 1 and 4 .*got 5"),
    ],
)
def test_refusals_name_the_value(options, message):
    with pytest.raises(ValueError, match=message):
        LearnableWaveletMixer(8, 16, **options)
