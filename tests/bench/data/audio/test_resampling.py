import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from latentwave.bench.data.audio import resampling as module
from latentwave.bench.data.audio.resampling import resample

RATES = [(44100, 16000), (16000, 44100), (44101, 16000), (48000, 16000), (8000, 16000), (7001, 503)]


def whole(x, rate, new_rate):
    common = math.gcd(rate, new_rate)
    return signal.resample_poly(x, new_rate // common, rate // common)


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_pieces_give_what_scipy_gives_for_the_whole(rate, new_rate):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(300_001).astype(np.float32)
    cuts = np.sort(rng.integers(0, len(x), 20))
    y = np.concatenate(list(resample(np.split(x, cuts), rate, new_rate)))
    expected = whole(x, rate, new_rate)
    assert y.dtype == np.float32
    assert len(y) == len(expected) == math.ceil(len(x) * new_rate / rate)
    np.testing.assert_allclose(y, expected, atol=2e-6)


@settings(deadline=None, max_examples=80)
@given(
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=8),
    rates=st.sampled_from([(3, 2), (2, 3), (7, 5), (1, 4), (5, 1), (9, 9)]),
)
def test_no_seam_at_any_cut(lengths, rates):
    rng = np.random.default_rng(sum(lengths))
    pieces = [rng.standard_normal(n).astype(np.float32) for n in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_SAMPLES", 16)
        parts = list(resample(pieces, *rates))
    y = np.concatenate([np.empty(0, np.float32), *parts])
    x = np.concatenate(pieces)
    expected = whole(x, *rates) if len(x) else x
    np.testing.assert_allclose(y, expected, atol=2e-6)


def test_a_tone_keeps_its_pitch_and_level():
    rate, new_rate = 44100, 16000
    x = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    (y,) = resample([x], rate, new_rate)
    expected = np.sin(2 * np.pi * 1000 * np.arange(new_rate) / new_rate)
    assert np.abs(y - expected)[100:-100].max() < 2e-3


def test_memory_does_not_grow_with_the_signal():
    piece = np.ones(1 << 16, np.float32)
    tracemalloc.start()
    try:
        total = sum(len(y) for y in resample((piece for _ in range(200)), 44100, 16000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == math.ceil(200 * len(piece) * 16000 / 44100)
    assert peak < 8_000_000
