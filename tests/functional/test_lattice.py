import numpy as np
import pytest
import pywt
import torch

from latentwave.functional import cascade_taps, orthogonal_lowpass
from latentwave.functional.lattice import cascade_kernels, lattice_angles, lattice_lowpass


def assert_orthonormal(lowpass):
    """Shifts by two taps are orthonormal and the gain at zero frequency is √2, both after √2."""
    h = np.asarray(lowpass) * 2**0.5
    assert h.sum() == pytest.approx(2**0.5)
    for shift in range(0, len(h), 2):
        product = h[shift:] @ h[: len(h) - shift]
        assert product == pytest.approx(float(shift == 0), abs=1e-9)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db8", "sym6", "coif3"])
def test_angles_give_the_wavelet_back(wavelet):
    lowpass = orthogonal_lowpass(wavelet)
    angles = lattice_angles(lowpass)
    assert angles.shape == (len(lowpass) // 2 - 1,)
    again = lattice_lowpass(torch.from_numpy(angles)[None])
    assert again[0].numpy() == pytest.approx(lowpass, abs=1e-7)


ORTHOGONAL = [n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal]


@pytest.mark.parametrize("wavelet", ORTHOGONAL)
def test_angles_give_every_wavelet_back_or_are_refused(wavelet):
    lowpass = orthogonal_lowpass(wavelet)
    too_long = wavelet == "dmey" or (wavelet[:2] == "db" and len(lowpass) >= 24)
    if too_long or wavelet in ("coif15", "coif16", "coif17"):
        with pytest.raises(ValueError, match=f"filter of {len(lowpass)} taps do not reproduce it"):
            lattice_angles(lowpass)
    else:
        found = lattice_lowpass(torch.from_numpy(lattice_angles(lowpass))[None])[0]
        np.testing.assert_allclose(found.numpy(), lowpass, atol=1e-6)


def test_any_angles_give_an_orthogonal_filter():
    for row in lattice_lowpass(3 * torch.randn(20, 4, dtype=torch.float64)):
        assert_orthonormal(row)


def test_kernels_are_the_cascade():
    lowpass = torch.from_numpy(orthogonal_lowpass("db2")).expand(3, -1)
    kernels = cascade_kernels(lowpass, torch.tensor([3, 1, 2]), 3)
    assert kernels.shape == (3, 22)
    for row, level in zip(kernels, (3, 1, 2), strict=True):
        taps = cascade_taps("db2", level)
        assert row[: len(taps)].numpy() == pytest.approx(taps)
        assert not row[len(taps) :].any()


def test_gradients():
    angles = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    def function(angles):
        return cascade_kernels(lattice_lowpass(angles), torch.tensor([1, 2]), 2)

    assert torch.autograd.gradcheck(function, (angles,))


def test_refusals_name_the_value():
    with pytest.raises(ValueError, match="even number of taps, got 3"):
        lattice_angles(np.ones(3))
