"""Streams in chunks equal the whole sequence, however their states were used."""

import pickle

import pytest
import torch

from latentwave.mixers import build_mixer
from tests.comparing import assert_same
from tests.mixers.cases import CONTEXT_LENGTH, EVERY_CASE, double, randomize, signal, streamed

T = 37
MIXED = [1, 1, 5, 1, 1, 1, 7, 2, 1, 1, 16]


@EVERY_CASE
def test_chunks_equal_the_whole(case):
    mixer, x = double(case), signal(2, T)
    whole = mixer(x)
    for sizes in (1, MIXED, *([cut, T - cut] for cut in (0, 1, 2, 15, 16, 17, 36, 37))):
        torch.testing.assert_close(streamed(mixer, x, sizes), whole)


@EVERY_CASE
def test_a_cloned_state_branches(case):
    mixer = double(case)
    x = signal(1, T)
    state = mixer.new_state()
    mixer(x[:, :20], state=state)
    branch = state.clone()
    mixer(-x[:, 20:], state=state)
    torch.testing.assert_close(mixer(x[:, 20:], state=branch), mixer(x)[:, 20:])


@EVERY_CASE
@torch.no_grad()
def test_a_state_shares_no_memory_with_inputs_and_outputs(case):
    mixer, x = double(case), signal(1, T)
    whole, state = mixer(x), mixer.new_state()
    for chunk, expected in zip(x.split(MIXED, dim=1), whole.split(MIXED, dim=1), strict=True):
        given = chunk.clone()
        y = mixer(given, state=state)
        torch.testing.assert_close(y, expected)
        given.fill_(9.0)
        y.fill_(9.0)


@EVERY_CASE
@torch.no_grad()
def test_a_long_call_leaves_no_larger_state_than_a_short_one(case):
    sizes = []
    for length in (2 * CONTEXT_LENGTH, 50 * CONTEXT_LENGTH):
        mixer = double(case)
        state = mixer.new_state()
        mixer(signal(1, length), state=state)
        sizes.append(len(pickle.dumps(state)))
    assert sizes[1] <= 1.05 * sizes[0]


@EVERY_CASE
def test_calls_with_and_without_segments_cannot_share_a_state(case):
    mixer, x, ids = double(case), signal(1, 2), torch.zeros(1, 2, dtype=torch.int64)
    with_ids, without = mixer.new_state(), mixer.new_state()
    mixer(x, state=with_ids, segment_ids=ids)
    mixer(x, state=without)
    with pytest.raises(ValueError, match="pass them at every call"):
        mixer(x, state=with_ids)
    with pytest.raises(ValueError, match="start a new one"):
        mixer(x, state=without, segment_ids=ids)


@pytest.mark.parametrize("kind", ["wavelet", "pyramid", "short_conv", "ema"])
@torch.no_grad()
def test_rounding_a_token_is_forgotten_with_its_window(kind):
    mixer = randomize(build_mixer(kind, channels=4, context_length=CONTEXT_LENGTH))
    x, state = signal(1, 20 * CONTEXT_LENGTH, dtype=torch.float32)[..., :4] + 3.0, mixer.new_state()
    dtypes = [torch.float32] * x.shape[1]
    dtypes[50] = torch.bfloat16
    steps = zip(x.split(1, dim=1), dtypes, strict=True)
    last = [mixer(token.to(dtype), state=state) for token, dtype in steps][-1]
    assert_same(last, mixer(x)[:, -1:], share=1e-6)
