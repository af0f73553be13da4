import numpy as np
import pytest
import pywt
import torch
from scipy.signal import lfilter

from latentwave.functional import (
    cascade_taps,
    causal_cascade,
    dilated_fir,
    orthogonal_lowpass,
    stationary_decomposition,
    stationary_reconstruction,
)
from latentwave.functional.lattice import lattice_angles, lattice_lowpass
from tests.functional.references import random_runs, slow_fir

FAMILIES = ["haar", "db2", "db7", "sym5", "coif2", "dmey"]


def lowpass(wavelet):
    return torch.from_numpy(orthogonal_lowpass(wavelet))


@pytest.mark.parametrize("wavelet", FAMILIES)
@pytest.mark.parametrize("T", [1, 65, 200])
def test_equals_scipy_with_the_composite_taps(wavelet, T):
    x = torch.randn(1, T, 3, dtype=torch.float64)
    y = causal_cascade(x, lowpass(wavelet), [1, 1, 1])
    for c in range(3):
        expected = lfilter(cascade_taps(wavelet, c + 1), [1.0], x[0, :, c].numpy())
        torch.testing.assert_close(y[0, :, c], torch.from_numpy(expected))


def test_taps_are_those_of_the_wavelet():
    assert cascade_taps("db3", 1) == pytest.approx(np.array(pywt.Wavelet("db3").dec_lo) / 2**0.5)
    for wavelet in FAMILIES:
        for level in (1, 2, 4):
            taps = cascade_taps(wavelet, level)
            assert len(taps) == (len(pywt.Wavelet(wavelet).dec_lo) - 1) * (2**level - 1) + 1
            assert taps.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_equals_the_stationary_transform_of_pywavelets(wavelet, level):
    # PyWavelets wraps around and reads F/2 · 2^{k−1} tokens ahead at level k; away from the
    # border and moved back by the sum of these, its approximation is ours times 2^{k/2}.
    signal = np.random.default_rng(0).standard_normal(512)
    theirs = pywt.swt(signal, wavelet, level=level, trim_approx=True)[0] / 2 ** (level / 2)
    ours = causal_cascade(
        torch.from_numpy(signal).view(1, -1, 1), lowpass(wavelet), [0] * (level - 1) + [1]
    ).flatten()
    ahead = len(pywt.Wavelet(wavelet).dec_lo) // 2 * (2**level - 1)
    assert ours[256:].numpy() == pytest.approx(np.roll(theirs, ahead)[256:])


@pytest.mark.parametrize("dilation", [1, 3, 8, 50])
@pytest.mark.parametrize("documents", [False, True])
def test_dilated_filter_with_a_kernel_per_channel(dilation, documents):
    x, taps = torch.randn(2, 45, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    spread = torch.zeros(3, 3 * dilation + 1, dtype=torch.float64)
    spread[:, ::dilation] = taps
    runs = random_runs(2, 45) if documents else None
    torch.testing.assert_close(dilated_fir(x, taps, dilation, runs), slow_fir(x, spread, runs))


@pytest.mark.parametrize("wavelet", FAMILIES)
@pytest.mark.parametrize("T", [1, 301])
@pytest.mark.parametrize("documents", [False, True])
def test_perfect_reconstruction(wavelet, T, documents):
    x = torch.randn(2, T, 3, dtype=torch.float64)
    runs = random_runs(2, T) if documents else None
    details, approx = stationary_decomposition(x, wavelet, 5, runs)
    assert len(details) == 5
    torch.testing.assert_close(stationary_reconstruction(details, approx), x)
    torch.testing.assert_close(approx, causal_cascade(x, lowpass(wavelet), [0, 0, 0, 0, 3], runs))


def test_haar_details_are_those_of_pywavelets():
    signal = np.random.default_rng(0).standard_normal(256)
    details, _ = stationary_decomposition(torch.from_numpy(signal).view(1, -1, 1), "haar", 3)
    theirs = pywt.swt(signal, "haar", level=3, trim_approx=True)[1:][::-1]
    for level, (ours, expected) in enumerate(zip(details, theirs, strict=True), start=1):
        # Of the two taps the transform of PyWavelets has the later one first.
        late = np.roll(expected, 2**level - 1) / 2 ** (level / 2)
        assert ours.flatten()[64:].numpy() == pytest.approx(-late[64:])


ORTHOGONAL = [n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal]


@pytest.mark.parametrize("wavelet", ORTHOGONAL)
def test_angles_reproduce_every_wavelet_or_are_refused(wavelet):
    lowpass = orthogonal_lowpass(wavelet)
    too_long = wavelet == "dmey" or (wavelet[:2] == "db" and len(lowpass) >= 24)
    if too_long or wavelet in ("coif15", "coif16", "coif17"):
        with pytest.raises(ValueError, match=f"filter of {len(lowpass)} taps do not reproduce it"):
            lattice_angles(lowpass)
    else:
        found = lattice_lowpass(torch.from_numpy(lattice_angles(lowpass))[None])[0]
        np.testing.assert_allclose(found.numpy(), lowpass, atol=1e-6)


X = torch.zeros(1, 4, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: orthogonal_lowpass("dbb2"), "no discrete wavelet 'dbb2', did you mean .*'db2'"),
        (lambda: orthogonal_lowpass("bior2.2"), r"be orthogonal, got 'bior2.2' \(Biorthogonal\)"),
        (lambda: orthogonal_lowpass("morl"), "no discrete wavelet 'morl'"),
        (lambda: cascade_taps("haar", 0), "level must be >= 1, got 0"),
        (lambda: stationary_decomposition(X, "haar", 0), "num_levels must be >= 1, got 0"),
        (lambda: dilated_fir(X, torch.ones(2), 0), "dilation must be >= 1, got 0"),
        (lambda: causal_cascade(X, torch.ones(2), [1]), r"add up to the 2 channels.*\[1\]"),
        (lambda: lattice_angles(np.ones(3)), "even number of taps, got 3"),
    ],
)
def test_refusals_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
