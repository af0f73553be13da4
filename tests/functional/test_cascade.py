import numpy as np
import pytest
import pywt
import torch
from scipy.signal import lfilter

from latentwave.functional import (
    cascade_taps,
    causal_cascade,
    causal_moving_average,
    dilated_fir,
    orthogonal_lowpass,
    stationary_decomposition,
    stationary_reconstruction,
)
from tests.functional.references import random_runs, slow_fir

FAMILIES = ["haar", "db2", "db7", "sym5", "coif2", "dmey"]


def lowpass(wavelet):
    return torch.from_numpy(orthogonal_lowpass(wavelet))


@pytest.mark.parametrize("wavelet", FAMILIES)
@pytest.mark.parametrize("T", [1, 2, 63, 64, 65, 200])
def test_equals_scipy_with_the_composite_taps(wavelet, T):
    x = torch.randn(1, T, 3, dtype=torch.float64)
    y = causal_cascade(x, lowpass(wavelet), [1, 1, 1])
    for c in range(3):
        expected = lfilter(cascade_taps(wavelet, c + 1), [1.0], x[0, :, c].numpy())
        torch.testing.assert_close(y[0, :, c], torch.from_numpy(expected))


@pytest.mark.parametrize("T", [5, 64, 100])
def test_haar_is_the_moving_average(T):
    x = torch.randn(2, T, 6)
    torch.testing.assert_close(
        causal_cascade(x, lowpass("haar"), [2, 1, 0, 3]), causal_moving_average(x, [2, 1, 0, 3])
    )


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


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym6"])
def test_documents_equal_the_slow_composite_filter(wavelet):
    x = torch.randn(2, 150, 3, dtype=torch.float64)
    runs = random_runs(2, 150, mean_length=40)
    y = causal_cascade(x, lowpass(wavelet), [0, 1, 0, 2], runs)
    for channels, level in ((slice(0, 1), 2), (slice(1, 3), 4)):
        taps = torch.from_numpy(cascade_taps(wavelet, level))
        expected = slow_fir(x[..., channels], taps.expand(x[..., channels].shape[-1], -1), runs)
        torch.testing.assert_close(y[..., channels], expected)


@pytest.mark.parametrize("dilation", [1, 3, 8, 50])
@pytest.mark.parametrize("documents", [False, True])
def test_dilated_filter_with_a_kernel_per_channel(dilation, documents):
    x = torch.randn(2, 45, 3, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(3, 4, dtype=torch.float64)
    spread = torch.zeros(3, 3 * dilation + 1, dtype=torch.float64)
    spread[:, ::dilation] = taps
    runs = random_runs(2, 45) if documents else None
    y, slow = dilated_fir(x, taps, dilation, runs), slow_fir(x, spread, runs)
    torch.testing.assert_close(y, slow)
    weights = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, x, weights), torch.autograd.grad(slow, x, weights)
    )


@pytest.mark.parametrize("wavelet", FAMILIES)
@pytest.mark.parametrize("T", [1, 7, 64, 301])
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


@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 0, 2)])
def test_empty_inputs(shape):
    assert causal_cascade(torch.zeros(shape), lowpass("db2"), [1, 1]).shape == shape


def test_refusals_name_the_value():
    x = torch.zeros(1, 4, 2)
    with pytest.raises(ValueError, match=r"no discrete wavelet 'dbb2', did you mean .*'db2'"):
        orthogonal_lowpass("dbb2")
    with pytest.raises(ValueError, match=r"must be orthogonal, got 'bior2.2' \(Biorthogonal\)"):
        orthogonal_lowpass("bior2.2")
    with pytest.raises(ValueError, match=r"no discrete wavelet 'morl'"):
        orthogonal_lowpass("morl")
    with pytest.raises(ValueError, match="level must be >= 1, got 0"):
        cascade_taps("haar", 0)
    with pytest.raises(ValueError, match="num_levels must be >= 1, got 0"):
        stationary_decomposition(x, "haar", 0)
    with pytest.raises(ValueError, match="dilation must be >= 1, got 0"):
        dilated_fir(x, torch.ones(2), 0)
    with pytest.raises(ValueError, match=r"add up to the 2 channels.*\[1\]"):
        causal_cascade(x, torch.ones(2), [1])
