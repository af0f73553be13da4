import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from latentwave.functional import causal_moving_average, dyadic_window_sums, segment_runs

LENGTHS = [1, 2, 3, 63, 64, 65]


def slow_average(x, levels, boundary="zero", runs=None, valid=None):
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
@pytest.mark.parametrize("T", LENGTHS)
def test_equals_the_slow_loop(T, boundary):
    x = torch.randn(2, T, 6, dtype=torch.float64)
    levels = [1, 1, 2, 4, 5, 5]
    y = causal_moving_average(x, [2, 1, 0, 1, 2], boundary=boundary)
    torch.testing.assert_close(y, slow_average(x, levels, boundary))


@pytest.mark.parametrize("boundary", ["zero", "mean"])
def test_segments_and_padding_equal_the_slow_loop(boundary):
    x = torch.randn(2, 23, 3, dtype=torch.float64)
    ids = torch.randint(0, 2, (2, 23))
    valid = (torch.rand(2, 23) > 0.3).double()
    x = x * valid.unsqueeze(-1)
    runs = segment_runs(ids)
    y = causal_moving_average(x, [1, 1, 1], boundary=boundary, runs=runs, valid=valid)
    torch.testing.assert_close(y, slow_average(x, [1, 2, 3], boundary, runs, valid))


def test_equals_scipy_and_the_haar_taps():
    x = torch.randn(1, 100, 3, dtype=torch.float64)
    y = causal_moving_average(x, [1, 1, 1])
    haar = np.array(pywt.Wavelet("haar").dec_lo) / np.sqrt(2)
    taps = haar
    for level in range(1, 4):
        if level > 1:
            spread = np.zeros(2 ** (level - 1) + 1)
            spread[[0, -1]] = haar
            taps = np.convolve(taps, spread)
        torch.testing.assert_close(
            y[0, :, level - 1], torch.from_numpy(lfilter(taps, [1.0], x[0, :, level - 1].numpy()))
        )


def test_runs_separate_documents_that_share_an_id():
    ids = torch.tensor([[5, 5, 1, 5, 5]])
    y = dyadic_window_sums(torch.ones(1, 5, 1), [0, 1], segment_runs(ids))
    assert y.flatten().tolist() == [1, 2, 1, 1, 2]


@pytest.mark.parametrize("with_runs", [False, True])
def test_gradients(with_runs):
    x = torch.randn(1, 9, 4, dtype=torch.float64, requires_grad=True)
    runs = segment_runs(torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 0]])) if with_runs else None

    def function(x):
        return dyadic_window_sums(x, [2, 0, 1, 1], runs)

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_no_precision_lost_over_long_sequences(dtype):
    # A prefix-sum difference in bfloat16 is off by 3.6 here; the input's own rounding is 0.4 %.
    x = (1.0 + 0.1 * torch.randn(1, 4096, 2, dtype=torch.float64)).to(dtype)
    y = causal_moving_average(x, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    exact = causal_moving_average(x.double(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert y.dtype == dtype
    torch.testing.assert_close(y, exact.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_input_is_not_changed_and_may_be_non_contiguous():
    x = torch.randn(4, 10, 3).transpose(0, 2)
    before = x.clone()
    y = causal_moving_average(x, [2, 2])
    assert torch.equal(x, before)
    torch.testing.assert_close(y, causal_moving_average(x.contiguous(), [2, 2]))


@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 0, 2)])
@pytest.mark.parametrize("boundary", ["zero", "mean"])
def test_empty_batches_and_sequences(shape, boundary):
    assert causal_moving_average(torch.zeros(shape), [1, 1], boundary=boundary).shape == shape


@settings(deadline=None, max_examples=30)
@given(T=st.integers(1, 70), shift=st.integers(0, 70), seed=st.integers(0, 1000))
def test_linear_and_shift_equivariant(T, shift, seed):
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, 1, T, 4, dtype=torch.float64, generator=generator)
    groups = [1, 1, 1, 0, 1]
    torch.testing.assert_close(
        dyadic_window_sums(3 * x - z, groups),
        3 * dyadic_window_sums(x, groups) - dyadic_window_sums(z, groups),
    )
    late = torch.nn.functional.pad(x, (0, 0, shift, 0))
    torch.testing.assert_close(
        dyadic_window_sums(late, groups)[:, shift:], dyadic_window_sums(x, groups)
    )


def test_refusals_name_the_value():
    x = torch.zeros(1, 4, 3)
    with pytest.raises(ValueError, match=r"add up to the 3 channels.*\[1, 1\]"):
        dyadic_window_sums(x, [1, 1])
    with pytest.raises(ValueError, match=r"\[4, -1\]"):
        dyadic_window_sums(x, [4, -1])


@pytest.mark.unchecked
@pytest.mark.parametrize("boundary", ["zero", "mean"])
@pytest.mark.parametrize("sizes", [[3, 3, 2], [0, 20, 3, 0, 1, 2]])
def test_compiled_averages_equal_eager_ones(boundary, sizes):
    def run(average):
        x = torch.randn(2, 40, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
        ids = torch.tensor([[0] * 15 + [1] * 25] * 2)
        y = average(x, sizes, boundary=boundary, runs=segment_runs(ids), first_channel=2)
        y.square().sum().backward()
        return y.detach(), x.grad

    compiled = torch.compile(causal_moving_average, fullgraph=True, backend="aot_eager")
    for got, expected in zip(run(compiled), run(causal_moving_average), strict=True):
        torch.testing.assert_close(got, expected)
