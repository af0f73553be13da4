import pytest
import torch

from latentwave.functional import causal_moving_average, segment_runs


def slow_average(x, levels, boundary, runs, valid):
    """The definition as a triple loop."""
    B, T, C = x.shape
    y = torch.zeros_like(x)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                window = 2 ** levels[c]
                total, count = 0.0, 0.0
                for m in range(min(window, t + 1)):
                    if runs is not None and runs[b, t - m] != runs[b, t]:
                        break
                    total += x[b, t - m, c].item()
                    count += 1.0 if valid is None else valid[b, t - m].item()
                y[b, t, c] = total / (window if boundary == "zero" else max(count, 1.0))
    return y


@pytest.mark.parametrize("boundary", ["zero", "mean"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("T", [1, 2, 3, 63, 64, 65])
def test_equals_the_slow_loop(T, packed, boundary):
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
