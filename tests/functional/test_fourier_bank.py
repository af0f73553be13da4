import pytest
import torch

from latentwave.functional import windowed_fourier_bank


def test_filters_peak_at_their_frequencies_in_quadrature():
    M, K, lowest, highest = 12, 64, 1 / 64, 1 / 2
    bank = windowed_fourier_bank(M, K, lowest, highest)
    peaks = torch.fft.rfft(bank, n=4096).abs().argmax(1) / 4096
    j = torch.arange(M) // 2
    expected = lowest * (highest / lowest) ** ((j + 0.5) / (M // 2))
    # The lowest pair overlaps its own mirror image.
    torch.testing.assert_close(peaks[2:], expected[2:], rtol=0.05, atol=0)
    products = (bank[0::2] * bank[1::2]).sum(1)
    torch.testing.assert_close(products[1:], torch.zeros(5), rtol=0, atol=0.01)


@pytest.mark.parametrize("K", [1, 2, 3, 64])
@pytest.mark.parametrize("M", [1, 2, 5])
def test_filters_have_unit_energy_however_short(M, K):
    energy = windowed_fourier_bank(M, K, 1 / 2, 1 / 2).square().sum(1)
    torch.testing.assert_close(energy, torch.ones(M))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 0.1, 0.5), "num_filters=0, kernel_size=4"),
        ((2, 0, 0.1, 0.5), "num_filters=2, kernel_size=0"),
        ((2, 4, 0.0, 0.5), r"lowest=0\.0, highest=0\.5"),
        ((2, 4, 0.1, 0.6), r"lowest=0\.1, highest=0\.6"),
        ((2, 4, 0.3, 0.2), r"lowest=0\.3, highest=0\.2"),
    ],
)
def test_refusals_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        windowed_fourier_bank(*arguments)
