import collections

import pytest
import torch

from latentwave.functional import cascade_taps
from latentwave.mixers import WaveletMixer, build_mixer


def test_channel_levels_follow_the_formula():
    mixer = WaveletMixer(128, 512)
    assert mixer.levels == [1 + j * 9 // 64 for j in range(64)]
    assert mixer.receptive_field == 512
    assert mixer.num_parameters == 0
    assert not mixer.state_dict()


def test_half_of_the_channels_pass_unchanged():
    x = torch.randn(2, 20, 8)
    last, first = WaveletMixer(8, 16), WaveletMixer(8, 16, mixed="first")
    assert torch.equal(last(x)[..., :4], x[..., :4])
    assert torch.equal(first(x)[..., 4:], x[..., 4:])
    torch.testing.assert_close(first(x.roll(4, -1)).roll(-4, -1), last(x))


def test_impulse_responses_are_haar():
    response = WaveletMixer(8, 16).impulse_response()
    for channel, level in zip(range(4, 8), (1, 2, 3, 4), strict=True):
        window = 2**level
        expected = torch.zeros(16)
        expected[:window] = 1 / window
        torch.testing.assert_close(response[channel], expected)


@pytest.mark.parametrize(
    ("channels", "options", "counts"),
    [
        (128, {}, {1: 32, 2: 16, 3: 8, 4: 4, 5: 2, 6: 1, 7: 1}),
        (128, {"num_levels": 3}, {1: 32, 2: 16, 3: 16}),
        (2048, {"fraction": 1.0}, {1: 1024, 2: 512, 3: 256, 4: 128, 5: 64, 6: 32, 7: 32}),
        (6, {}, {1: 2, 2: 1}),
    ],
)
def test_halving_gives_each_further_level_half_the_channels(channels, options, counts):
    mixer = WaveletMixer(channels, 128, schedule="halving", **options)
    assert dict(collections.Counter(mixer.levels)) == counts
    assert mixer.levels == sorted(mixer.levels)


def test_a_shorter_schedule_shares_the_channels():
    assert WaveletMixer(16, 16, schedule=[1, 3, 3, 2]).levels == [1, 1, 3, 3, 3, 3, 2, 2]
    assert WaveletMixer(128, 512, schedule=range(1, 10)).levels == WaveletMixer(128, 512).levels


def test_a_schedule_gives_each_channel_its_own_level():
    x = torch.randn(1, 40, 6)
    mixer = WaveletMixer(6, 16, fraction=0.5, schedule=[3, 1, 2])
    y = mixer(x)
    for channel, level in zip((3, 4, 5), (3, 1, 2), strict=True):
        single = WaveletMixer(6, 16, fraction=1.0, level=level)
        torch.testing.assert_close(y[..., channel], single(x)[..., channel])


def test_residual_adds_the_average():
    x = torch.randn(1, 20, 8)
    plain, residual = WaveletMixer(8, 16)(x), WaveletMixer(8, 16, residual=True)(x)
    torch.testing.assert_close(residual[..., 4:], x[..., 4:] + plain[..., 4:])


def test_mean_boundary_keeps_a_constant():
    ones = torch.ones(1, 20, 8)
    torch.testing.assert_close(WaveletMixer(8, 16, boundary="mean")(ones), ones)


@pytest.mark.parametrize("wavelet", ["db2", "sym4", "coif1"])
def test_other_wavelets_by_their_impulse_responses(wavelet):
    mixer = WaveletMixer(8, 64, wavelet=wavelet).to(torch.bfloat16)
    response = mixer.impulse_response()
    assert mixer.receptive_field == response.shape[1] <= 64
    for channel, level in zip(range(4, 8), mixer.levels, strict=True):
        taps = torch.from_numpy(cascade_taps(wavelet, level))
        expected = torch.nn.functional.pad(taps, (0, response.shape[1] - len(taps)))
        torch.testing.assert_close(response[channel], expected.float())


def test_names_of_haar_are_equal():
    x = torch.randn(1, 40, 8)
    assert torch.equal(WaveletMixer(8, 16, wavelet="db1")(x), WaveletMixer(8, 16)(x))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("channels", "context", "options", "message"),
    [
        (7, 16, {}, r"fraction=0.5 of 7 channels is 3.5"),
        (8, 16, {"fraction": 0.0}, r"in \(0, 1\], got 0"),
        (8, 16, {"fraction": 1.5}, r"got 1.5"),
        (
            8,
            16,
            {"level": 5},
            r"level must be between 1 and 4 .*context length 16.*got 5",
        ),
        (8, 16, {"num_levels": 0}, r"num_levels must be between 1 and 4.*got 0"),
        (8, 16, {"boundary": "wrap"}, r"got 'wrap'"),
        (8, 16, {"mixed": "middle"}, r"got 'middle'"),
        (8, 16, {"schedule": "thirds"}, r'"halving" or a list of levels, got .thirds'),
        (8, 16, {"schedule": "halving", "level": 2}, "pass only one of"),
        (8, 16, {"schedule": "halving", "num_levels": 5}, "num_levels must be between 1 and 4"),
        (8, 16, {"schedule": [1, 2, 3, 1, 2]}, r"1 to 4 levels for the 4 mixed channels, got 5"),
        (8, 16, {"schedule": []}, r"1 to 4 levels .*, got 0"),
        (8, 16, {"level": 1, "num_levels": 2}, r"pass only one of"),
        (8, 1, {}, r"context_length must be >= 2 for a level of the wavelet"),
        (8, 16, {"wavelet": "bior2.2"}, r"must be orthogonal, got 'bior2.2'"),
        (8, 16, {"wavelet": "db"}, r"no discrete wavelet 'db', did you mean"),
        (8, 16, {"wavelet": "db2", "boundary": "mean"}, r'"haar", got wavelet=.db2'),
        (8, 16, {"wavelet": "db2", "level": 3}, r"between 1 and 2 .*'db2'.* 16.*, got 3"),
        (8, 0, {}, r"context_length must be an integer from 1 to 16777216, got 0"),
        (0, 16, {}, r"channels must be an integer from 1 to 16777216, got 0"),
    ],
)
def test_refusals_name_the_value(channels, context, options, message):
    with pytest.raises(ValueError, match=message):
        WaveletMixer(channels, context, **options)


def test_a_state_keeps_to_its_kind_of_call():
    mixer = WaveletMixer(8, 16)
    x, ids = torch.zeros(1, 2, 8), torch.zeros(1, 2, dtype=torch.int64)
    with_ids, without = mixer.new_state(), mixer.new_state()
    mixer(x, state=with_ids, segment_ids=ids)
    mixer(x, state=without)
    with pytest.raises(ValueError, match="pass them at every call"):
        mixer(x, state=with_ids)
    with pytest.raises(ValueError, match="start a new one"):
        mixer(x, state=without, segment_ids=ids)
    mixer = build_mixer("wavelet", channels=8, context_length=64)
    x = 100 * torch.randn(1, 3000, 8) + 1e4
    state = mixer.new_state()
    steps = torch.cat([mixer(x[:, t : t + 1], state=state) for t in range(3000)], dim=1)
    exact = mixer.double()(x.double())
    assert ((steps - exact).abs() / exact.abs()).max() < 2e-7, "within float32's rounding"


def test_running_sums_follow_chunks_and_copies():
    mixer = build_mixer("wavelet", channels=8, context_length=16)
    x, state = torch.randn(2, 60, 8), mixer.new_state()
    parts, start = [], 0
    for length in (1, 1, 5, 1, 1, 1, 7, 2, 1, 1):
        parts.append(mixer(x[:, start : start + length], state=state))
        start += length
    other = state.clone()
    for each in (state, other):
        rest = [mixer(x[:, t : t + 1], state=each) for t in range(start, 60)]
        torch.testing.assert_close(torch.cat(parts + rest, dim=1), mixer(x))
