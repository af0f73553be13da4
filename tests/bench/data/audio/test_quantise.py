import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.bench.data.audio.quantise import (
    decode_linear,
    decode_mu_law,
    encode_linear,
    encode_mu_law,
)

LEVELS = np.arange(256)


def mu_law_by_the_formula(x):
    x = min(1.0, max(-1.0, x))
    compressed = math.log(1 + 255 * abs(x)) / math.log(256)
    return math.floor((math.copysign(compressed, x) + 1) / 2 * 255 + 0.5)


@given(st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50))
def test_mu_law_is_its_formula(samples):
    tokens = encode_mu_law(np.array(samples, dtype=np.float32))
    assert tokens.tolist() == [mu_law_by_the_formula(float(np.float32(x))) for x in samples]


def test_linear_tokens_are_the_bytes_of_8_bit_pcm():
    samples = (LEVELS - 128) / 128
    assert encode_linear(samples).tolist() == LEVELS.tolist()
    assert (decode_linear(LEVELS) == samples).all()
    assert encode_linear(np.array([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_mu_law, decode_mu_law), (encode_linear, decode_linear)]
)
def test_every_level_comes_back(encode, decode):
    samples = decode(LEVELS)
    assert samples.dtype == np.float32
    assert encode(samples).tolist() == LEVELS.tolist()
    assert (np.diff(samples) > 0).all()
    assert abs(samples[128]) < 1e-4  # silence stays silent


def test_no_other_level_is_nearer():
    x = np.linspace(-1, 1, 20_001)
    linear = decode_linear(LEVELS)
    nearest = np.abs(x[:, None] - linear).min(axis=1)
    assert (np.abs(decode_linear(encode_linear(x)) - x) <= nearest + 1e-7).all()
    # The mu-law's own error is even on its logarithmic scale.
    compressed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    assert np.abs(encode_mu_law(x) / 127.5 - 1 - compressed).max() <= 1 / 255 + 1e-12
