import pytest
import torch

from latentwave.functional import causal_moving_average, segment_runs
from tests.functional.references import slow_fir


def slow_average(x, levels, boundary, runs, valid):
    windows = 2 ** torch.tensor(levels)
    ones = (torch.arange(int(windows.max())) < windows.unsqueeze(1)).double()
    valid = torch.ones_like(x) if valid is None else valid.unsqueeze(-1).expand_as(x)
    counts = windows if boundary == "zero" else slow_fir(valid, ones, runs).clamp(min=1.0)
    return slow_fir(x, ones, runs) / counts


@pytest.mark.parametrize("boundary", ["zero", "mean"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("T", [1, 2, 3, 63, 64, 65])
def test_equals_a_slow_filter(T, packed, boundary):
    x, levels = torch.randn(2, T, 6, dtype=torch.float64), [1, 1, 2, 4, 5, 5]
    runs = valid = None
    if packed:
        runs, valid = segment_runs(torch.randint(0, 2, (2, T))), (torch.rand(2, T) > 0.3).double()
        x = x * valid.unsqueeze(-1)
    y = causal_moving_average(x, [2, 1, 0, 1, 2], boundary=boundary, runs=runs, valid=valid)
    torch.testing.assert_close(y, slow_average(x, levels, boundary, runs, valid))


@pytest.mark.parametrize("boundary", ["zero", "mean"])
def test_without_groups_all_channels_pass(boundary):
    x = torch.randn(1, 5, 3)
    assert torch.equal(causal_moving_average(x, [], boundary=boundary), x)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([2, 2], {}, r">= 0 and add up to at most the 3 channels.*\[2, 2\]"),
        ([4, -1], {}, r">= 0 and add up to at most the 3 channels.*\[4, -1\]"),
        ([1], {"first_channel": -1}, "first_channel must be in 0 … 3, .* got -1"),
        ([0], {"first_channel": 4}, "first_channel must be in 0 … 3, .* got 4"),
    ],
)
def test_refusals_name_the_value(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        causal_moving_average(torch.zeros(1, 4, 3), sizes, **options)
