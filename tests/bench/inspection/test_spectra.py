import numpy as np
import pytest
from scipy import signal

from latentwave.bench.inspection import haar_taps, magnitude_at
from latentwave.bench.inspection.spectra import centre_and_bandwidth, nearest_level
from latentwave.functional.families import cascade_taps


@pytest.mark.parametrize("level", [1, 2, 5, 8])
def test_haar_is_the_cascade(level):
    own = haar_taps(np.array([level]), 2**level + 3)
    np.testing.assert_allclose(own[0, : 2**level], cascade_taps("haar", level))
    np.testing.assert_allclose(magnitude_at(own, np.array([0.0]))[0], 1.0)
    assert nearest_level(own).tolist() == [level]


@pytest.mark.parametrize("frequency", [0.05, 0.125, 0.3, 0.45])
def test_a_windowed_sinusoid_is_centred_at_its_frequency(frequency):
    taps = signal.windows.hann(256) * np.cos(2 * np.pi * frequency * np.arange(256))
    centre, bandwidth = centre_and_bandwidth(taps[None])
    assert centre[0] == pytest.approx(frequency, abs=1e-4)
    # The power of Hann's main lobe falls to half 0.72 bins of 1/256 from its centre.
    assert 0.5 / 256 < bandwidth[0] < 1 / 256


def test_a_wider_filter_has_more_bandwidth_and_zero_has_none():
    windows = [signal.windows.hann(n) * np.cos(0.5 * np.pi * np.arange(n)) for n in (64, 16)]
    taps = np.stack([*(np.pad(w, (0, 64 - len(w))) for w in windows), np.zeros(64)])
    centre, bandwidth = centre_and_bandwidth(taps)
    assert bandwidth[1] == pytest.approx(4 * bandwidth[0], rel=0.1)
    assert centre[2] == bandwidth[2] == 0


def test_the_nearest_haar_kernel_reaches_as_far_back():
    decay = 0.9 ** np.arange(200)
    assert nearest_level(np.stack([decay, np.eye(200)[0], np.zeros(200)])).tolist() == [4, 0, 0]
