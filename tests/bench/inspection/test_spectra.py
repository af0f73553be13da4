import numpy as np
import pytest
from scipy import signal

from latentwave.bench.inspection import (
    centre_and_bandwidth,
    decibels,
    frequency_response,
    haar_taps,
    magnitude_at,
)
from latentwave.functional.families import cascade_taps


@pytest.mark.parametrize("level", [1, 2, 5, 8])
def test_haar_is_a_product_of_cosines(level):
    response = frequency_response(cascade_taps("haar", level)[None])
    wanted = np.ones_like(response.frequencies)
    for k in range(level):
        wanted *= np.abs(np.cos(np.pi * 2**k * response.frequencies))
    np.testing.assert_allclose(response.magnitude[0], wanted, atol=1e-12)
    own = haar_taps(np.array([level]), 2**level + 3)
    np.testing.assert_allclose(frequency_response(own).magnitude[0][0], 1.0)
    np.testing.assert_allclose(own[0, : 2**level], cascade_taps("haar", level))


def test_responses_are_scipy_s():
    taps = np.random.default_rng(0).normal(size=(3, 37))
    response = frequency_response(taps, 129)
    for row, magnitude in zip(taps, response.magnitude, strict=True):
        _, wanted = signal.freqz(row, worN=2 * np.pi * response.frequencies)
        np.testing.assert_allclose(magnitude, np.abs(wanted), atol=1e-12)
    np.testing.assert_allclose(magnitude_at(taps, response.frequencies), response.magnitude)


@pytest.mark.parametrize("frequency", [0.05, 0.125, 0.3, 0.45])
def test_a_windowed_sinusoid_is_centred_at_its_frequency(frequency):
    taps = signal.windows.hann(256) * np.cos(2 * np.pi * frequency * np.arange(256))
    centre, bandwidth = centre_and_bandwidth(frequency_response(taps[None]))
    assert centre[0] == pytest.approx(frequency, abs=1e-4)
    # Hann's main lobe: power falls to half 0.72 bins of 1/256 from its middle.
    assert 0.5 / 256 < bandwidth[0] < 1 / 256


def test_a_wider_filter_has_more_bandwidth_and_zero_has_none():
    windows = [signal.windows.hann(n) * np.cos(0.5 * np.pi * np.arange(n)) for n in (64, 16)]
    taps = np.stack([*(np.pad(w, (0, 64 - len(w))) for w in windows), np.zeros(64)])
    centre, bandwidth = centre_and_bandwidth(frequency_response(taps))
    assert bandwidth[1] == pytest.approx(4 * bandwidth[0], rel=0.1)
    assert centre[2] == bandwidth[2] == 0


def test_levels_order_the_centres():
    centre, _ = centre_and_bandwidth(frequency_response(haar_taps(np.arange(1, 8), 128)))
    assert (np.diff(centre) < 0).all()


@pytest.mark.unchecked
def test_taps_that_would_be_cut_are_refused():
    with pytest.raises(ValueError, match="num_frequencies must be >= 9 for 16 taps, got 4"):
        frequency_response(np.ones((1, 16)), 4)
    with pytest.raises(ValueError, match="at least one tap"):
        frequency_response(np.ones((1, 0)))


def test_decibels_have_a_floor():
    assert decibels(np.array([0.0, 10.0])).tolist() == [-80.0, 20.0]
