import pytest
import torch

from latentwave.mixers import KeyOffsetMixer, KvShiftMixer, head_roles
from tests.mixers.cases import randomize


@pytest.mark.parametrize(
    ("projection", "heads", "shared", "roles"),
    [
        ("q_proj", 4, 2, "qqqq"),
        ("v_proj", 4, 2, "vv"),
        ("key", 3, None, "kkk"),
        ("c_attn", 2, None, "qqkkvv"),
        ("qkv_proj", 4, 1, "qqqqkv"),
        ("query_key_value", 2, None, "qkvqkv"),  # GPT-NeoX, BLOOM
        ("query_key_value", 4, 2, "qqkvqqkv"),  # Falcon 40B
        ("query_key_value", 4, 1, "qqqqkv"),  # Falcon 7B
    ],
)
def test_roles_of_heads(projection, heads, shared, roles):
    assert head_roles(projection, heads, shared) == roles


def test_keys_and_values_have_two_taps_per_head():
    mixer = randomize(KvShiftMixer(12, 16, heads="qkvq"))
    x = torch.randn(2, 9, 12)
    y = mixer(x)
    before = torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :9]
    assert mixer.kernels.shape == (2, 2)
    for head, row in ((1, 0), (2, 1)):
        own = slice(3 * head, 3 * head + 3)
        a, b = mixer.kernels[row]
        torch.testing.assert_close(y[..., own], a * x[..., own] + b * before[..., own])
    assert torch.equal(y[..., :3], x[..., :3])
    assert torch.equal(y[..., 9:], x[..., 9:])


def test_kv_shift_starts_as_the_identity_and_learns():
    mixer, x = KvShiftMixer(8, 16, heads="kv"), torch.randn(1, 9, 8)
    assert torch.equal(mixer(x), x)
    mixer(x).square().sum().backward()
    assert (mixer.kernels.grad != 0).all()


@pytest.mark.parametrize("interleaved", [False, True])
def test_half_of_the_pairs_of_keys_are_those_of_the_token_before(interleaved):
    x = torch.randn(2, 9, 24)
    y = KeyOffsetMixer(24, 16, heads="qkv", interleaved=interleaved)(x)
    assert torch.equal(y[..., :8], x[..., :8])
    assert torch.equal(y[..., 16:], x[..., 16:])
    moved = [4, 5, 6, 7] if interleaved else [2, 3, 6, 7]
    for channel in range(8):
        ours, theirs = y[..., 8 + channel], x[..., 8 + channel]
        assert torch.equal(ours[:, 1:], theirs[:, :-1] if channel in moved else theirs[:, 1:])
        assert torch.equal(ours[:, 0], torch.zeros(2) if channel in moved else theirs[:, 0])


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KvShiftMixer(8, 16, heads="qq"), "at least one k or v, got 'qq'"),
        (lambda: KvShiftMixer(8, 16, heads="kx"), "one letter, q, k or v, per head.*'kx'"),
        (lambda: KeyOffsetMixer(8, 16, heads="qv"), "at least one k, got 'qv'"),
        (lambda: KvShiftMixer(8, 16, heads="kvk"), "3 heads cannot share 8 channels"),
        (lambda: KeyOffsetMixer(6, 16, heads="kkk"), "even number of channels, at least 4, got 2"),
        (lambda: KvShiftMixer(8, 1), "context_length must be >= 2 for a shift, got 1"),
        (lambda: head_roles("out_proj", 2), "heads of projection 'out_proj' are unknown"),
    ],
)
def test_refusals_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
