import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from latentwave.mixers import (
    EmaMixer,
    MovingAverageMixer,
    ShortConvMixer,
    TokenShiftMixer,
    WaveletMixer,
)


def test_ema_equals_scipy():
    mixer = EmaMixer(6, 64).double()
    x = torch.randn(1, 300, 6, dtype=torch.float64)
    y = mixer(x)
    assert torch.equal(y[..., :3], x[..., :3])
    rates = mixer.rates()
    assert rates[0] == pytest.approx(2 / 3)
    assert rates[-1] == pytest.approx(2 / 65)
    for c, rate in enumerate(rates.tolist()):
        expected = lfilter([rate], [1.0, rate - 1.0], x[0, :, 3 + c].numpy())
        torch.testing.assert_close(y[0, :, 3 + c], torch.from_numpy(expected))


def test_ema_in_bfloat16_keeps_its_rates_and_its_state():
    mixer = EmaMixer(2, 1024, fraction=1.0).to(torch.bfloat16)
    assert mixer.rates().dtype == torch.float64
    state = mixer.new_state()
    for _ in range(3000):
        y = mixer(torch.ones(1, 1, 2, dtype=torch.bfloat16), state=state)
    # In bfloat16 the slow average would stop far from 1, once its steps round to nothing.
    torch.testing.assert_close(y, torch.ones_like(y), rtol=0.01, atol=0)


def test_ema_rates_are_learned():
    mixer = EmaMixer(4, 16, learnable=True)
    before = mixer.receptive_field
    mixer(torch.randn(1, 30, 4)).square().sum().backward()
    assert (mixer.rate_logits.grad != 0).all()
    with torch.no_grad():
        mixer.rate_logits -= 1.0
    assert mixer.receptive_field > before


def test_ema_state_serves_one_batch():
    mixer = EmaMixer(4, 16)
    state = mixer.new_state()
    mixer(torch.zeros(2, 3, 4), state=state)
    assert state.get("average").shape == (2, 2)


def test_moving_average_is_the_wavelet_at_one_level():
    x = torch.randn(2, 30, 8)
    expected = WaveletMixer(8, 16, level=3)(x)
    assert torch.equal(MovingAverageMixer(8, 16, window=8)(x), expected)
    assert torch.equal(MovingAverageMixer(8, 16, level=3)(x), expected)


@pytest.mark.parametrize("residual", [True, False])
def test_short_conv_starts_as_the_identity(residual):
    x = torch.randn(2, 9, 4)
    mixer = ShortConvMixer(4, 16, residual=residual)
    assert torch.equal(mixer(x), x)
    mixer(x).square().sum().backward()
    assert (mixer.kernels.grad != 0).all()


def test_short_conv_equals_numpy():
    mixer = ShortConvMixer(1, 16).double()
    with torch.no_grad():
        mixer.kernels.copy_(torch.tensor([[0.5, 0.0, -1.0, 2.0]]))
    x = torch.randn(1, 9, 1, dtype=torch.float64)
    signal = x.flatten().numpy()
    expected = signal + np.convolve(signal, [0.5, 0.0, -1.0, 2.0])[:9]
    assert mixer(x).flatten().detach().numpy() == pytest.approx(expected)


def test_token_shift_starts_near_the_identity():
    x = torch.randn(2, 9, 4)
    y = TokenShiftMixer(4, 16)(x)
    torch.testing.assert_close(y[:, 1:], 0.98 * x[:, 1:] + 0.02 * x[:, :-1])


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (EmaMixer, {"shortest": 1.0}, "got shortest=1.0"),
        (EmaMixer, {"longest": 1.5}, "shortest=2.0, longest=1.5"),
        (MovingAverageMixer, {"window": 12}, "power of two from 2 .* length 16, got 12"),
        (MovingAverageMixer, {"window": 32}, "got 32"),
        (
            MovingAverageMixer,
            {"window": 4, "level": 2},
            "either window or level.*window=4, level=2",
        ),
        (MovingAverageMixer, {"level": 5}, "between 1 and 4.*got 5"),
        (ShortConvMixer, {"kernel_size": 17}, "between 1 and the context length 16, got 17"),
        (ShortConvMixer, {"kernel_size": 0}, "got 0"),
        (TokenShiftMixer, {"initial_gate": 1.0}, r"in \(0, 1\), got 1.0"),
        (TokenShiftMixer, {"fraction": 0.3}, "fraction=0.3 of 8"),
    ],
)
def test_refusals_name_the_value(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(8, 16, **options)
