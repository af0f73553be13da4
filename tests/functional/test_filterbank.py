import pytest
import torch
from torch.nn import functional as F

from latentwave.functional import (
    causal_filterbank,
    filterbank_grid,
    naive_filterbank,
    noncausal_filterbank,
    segment_runs,
)
from tests.comparing import assert_same

MULTI = [2, 8, 4]
CAUSAL = pytest.mark.parametrize("causal", [True, False])
WEIGHTS = pytest.mark.parametrize("per_token", [False, True], ids=["weights", "tf_mask"])
SIZES = pytest.mark.parametrize("kernel_sizes", [None, MULTI], ids=["single", "multi"])


@pytest.fixture(params=["whole", "blocks", "lanes"])
def small_blocks(request, monkeypatch):
    """Also with blocks that cut batch, tokens and channels at odd places, in either layout, and
    with one GEMM per scale.
    """
    if request.param != "whole":
        fewest = 1 if request.param == "lanes" else 1000
        monkeypatch.setattr(filterbank_grid, "_FEWEST_COLUMNS", fewest)
        monkeypatch.setattr(filterbank_grid, "_MOST_COLUMNS", 3)
        monkeypatch.setattr(filterbank_grid, "_GEMM_OVERHEAD", 0)
        monkeypatch.setattr(filterbank_grid, "_ELEMENTS_PER_THREAD", 24)
        monkeypatch.setattr(filterbank_grid, "_LONGEST_SEGMENT", 5)


def inputs(B=2, T=23, D=5, M=6, K=8, per_token=False, dtype=torch.float64):
    x, h = torch.randn(B, T, D), torch.randn(M, K)
    w = torch.randn(B, T, M) if per_token else torch.randn(M)
    return [t.to(dtype).requires_grad_() for t in (x, h, w)]


def fused(causal):
    return causal_filterbank if causal else noncausal_filterbank


def slow_filterbank(x, analysis, weights, kernel_sizes=None, causal=True, runs=None):
    """The definition as a loop."""
    (B, T, D), (M, K) = x.shape, analysis.shape
    sizes = kernel_sizes or [K]
    y = torch.zeros_like(x)
    for b in range(B):
        for t in range(T):
            for m in range(M):
                size = sizes[m * len(sizes) // M]
                newest = t if causal else t + (size - 1) // 2
                z = torch.zeros(D, dtype=x.dtype)
                for tau in range(size):
                    s = newest - tau
                    if 0 <= s < T and (runs is None or runs[b, s] == runs[b, t]):
                        z += analysis[m, tau] * x[b, s]
                y[b, t] += (weights[b, t, m] if weights.dim() == 3 else weights[m]) * z.relu()
    return y


@CAUSAL
@WEIGHTS
@SIZES
@pytest.mark.parametrize("with_runs", [False, True])
def test_equals_the_slow_loop(causal, per_token, kernel_sizes, with_runs, small_blocks):
    x, h, w = (t.detach() for t in inputs(per_token=per_token))
    runs = segment_runs(torch.randint(0, 4, (2, 23)).div(3, rounding_mode="floor"))
    runs = runs if with_runs else None
    y = fused(causal)(x, h, w, runs, kernel_sizes=kernel_sizes)
    torch.testing.assert_close(y, slow_filterbank(x, h, w, kernel_sizes, causal, runs))


@CAUSAL
@WEIGHTS
@SIZES
@pytest.mark.parametrize("T", [1, 2, 7, 63, 64, 65])
def test_value_and_gradients_equal_conv1d(causal, per_token, kernel_sizes, T, small_blocks):
    arguments = inputs(T=T, per_token=per_token)
    dy = torch.randn(2, T, 5, dtype=torch.float64)
    y = fused(causal)(*arguments, kernel_sizes=kernel_sizes)
    expected = naive_filterbank(*arguments, kernel_sizes=kernel_sizes, causal=causal)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        torch.autograd.grad(y, arguments, dy), torch.autograd.grad(expected, arguments, dy)
    )


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1), (3, 130, 7, 3, 5), (1, 70, 700, 144, 32), (5, 9, 301, 6, 16)]
)
@WEIGHTS
def test_odd_sizes_equal_conv1d_in_float32(shape, per_token):
    arguments = inputs(*shape, per_token=per_token, dtype=torch.float32)
    dy = torch.randn(shape[:3])
    y, expected = causal_filterbank(*arguments), naive_filterbank(*arguments)
    assert_same(y, expected)
    for fast, plain in zip(
        torch.autograd.grad(y, arguments, dy),
        torch.autograd.grad(expected, arguments, dy),
        strict=True,
    ):
        assert_same(fast, plain)


@CAUSAL
@WEIGHTS
@pytest.mark.parametrize("with_runs", [False, True])
def test_gradcheck(causal, per_token, with_runs, small_blocks):
    arguments = inputs(1, 7, 2, 6, 8, per_token)
    runs = segment_runs(torch.tensor([[0, 0, 0, 1, 1, 1, 0]])) if with_runs else None

    def function(*arguments):
        return fused(causal)(*arguments, runs, kernel_sizes=MULTI)

    assert torch.autograd.gradcheck(function, arguments)


def test_a_second_derivative_is_refused():
    x, h, w = inputs()
    (grad,) = torch.autograd.grad(causal_filterbank(x, h, w).sum(), h, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"no second derivative.*naive_filterbank"):
        grad.sum().backward()


def test_the_naive_form_has_a_second_derivative():
    assert torch.autograd.gradgradcheck(naive_filterbank, inputs(1, 5, 1, 2, 3))


@WEIGHTS
@CAUSAL
def test_multi_scale_is_the_sum_of_separate_banks(per_token, causal):
    x, h, w = (t.detach() for t in inputs(per_token=per_token))
    banks = zip(h.chunk(3), w.chunk(3, dim=-1), MULTI, strict=True)
    expected = sum(fused(causal)(x, taps[:, :K], a) for taps, a, K in banks)
    torch.testing.assert_close(fused(causal)(x, h, w, kernel_sizes=MULTI), expected)


def test_taps_beyond_a_scale_are_never_read():
    x, h, w = inputs()
    y = causal_filterbank(x, h, w, kernel_sizes=MULTI)
    poisoned = h.detach().clone()
    poisoned[:2, 2:], poisoned[4:, 4:] = float("nan"), float("nan")
    assert torch.equal(causal_filterbank(x, poisoned, w, kernel_sizes=MULTI), y)
    (grad,) = torch.autograd.grad(y.sum(), h)
    assert grad[:2, 2:].abs().max() == grad[4:, 4:].abs().max() == 0
    assert grad[:2, :2].abs().min() > 0


@pytest.mark.parametrize("K", [1, 5, 8])
def test_noncausal_is_conv1d_with_padding_same(K):
    x, h, _ = inputs(K=K)
    y = noncausal_filterbank(x, h[:1], torch.ones(1, dtype=torch.float64))
    signals = x.transpose(1, 2).reshape(-1, 1, 23)
    # conv1d pads an even kernel one token more at the end; ours looks further back.
    padded = F.pad(signals, (K // 2, (K - 1) // 2))
    expected = F.conv1d(padded, h[:1].flip(1).unsqueeze(1)).relu()
    torch.testing.assert_close(y, expected.view(2, 5, 23).transpose(1, 2))
    if K % 2:
        same = F.conv1d(signals, h[:1].flip(1).unsqueeze(1), padding="same").relu()
        torch.testing.assert_close(expected, same)


def test_noncausal_of_the_reversed_signal_and_filters_is_reversed():
    x, h, w = inputs(K=7)
    torch.testing.assert_close(
        noncausal_filterbank(x.flip(1), h.flip(1), w), noncausal_filterbank(x, h, w).flip(1)
    )


@WEIGHTS
@pytest.mark.parametrize("history", [0, 1, 7, 12, 23])
@pytest.mark.parametrize("with_runs", [False, True])
def test_history_is_read_but_not_answered(per_token, history, with_runs):
    x, h, w = inputs(per_token=per_token)
    runs = segment_runs(torch.arange(23).div(9, rounding_mode="floor").expand(2, 23))
    runs = runs if with_runs else None
    dy = torch.randn(2, 23 - history, 5, dtype=torch.float64)
    late = w[:, history:] if per_token else w
    y = causal_filterbank(x, h, late, runs, history=history)
    whole = causal_filterbank(x, h, w, runs)[:, history:]
    torch.testing.assert_close(y, whole)
    torch.testing.assert_close(
        torch.autograd.grad(y, (x, h, w), dy), torch.autograd.grad(whole, (x, h, w), dy)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@WEIGHTS
def test_low_precision_sums_in_float32(dtype, per_token):
    arguments = inputs(T=300, K=16, per_token=per_token, dtype=dtype)
    exact_arguments = [t.detach().double().requires_grad_() for t in arguments]
    y, exact = causal_filterbank(*arguments), naive_filterbank(*exact_arguments)
    eps = torch.finfo(dtype).eps
    assert y.dtype == dtype
    scale = float(exact.detach().abs().max())
    torch.testing.assert_close(y.double(), exact, rtol=eps, atol=1e-6 * scale)
    grads = torch.autograd.grad(y, arguments, torch.ones_like(y))
    expected = torch.autograd.grad(exact, exact_arguments, torch.ones_like(exact))
    for grad, wanted in zip(grads, expected, strict=True):
        assert grad.dtype == dtype
        scale = float(wanted.abs().max())
        torch.testing.assert_close(grad.double(), wanted, rtol=eps, atol=1e-5 * scale)


def test_no_precision_lost_over_long_sequences():
    x, h, w = (t.detach() for t in inputs(1, 20_000, 1, 4, 16, dtype=torch.float32))
    y = causal_filterbank(x, h, w)
    exact = causal_filterbank(x.double(), h.double(), w.double())
    error = (y - exact).abs()
    assert error[:, -1000:].max() < 1e-4
    assert error[:, -1000:].mean() < 2 * error[:, :1000].mean()


@WEIGHTS
def test_deterministic_to_the_bit(per_token):
    arguments = inputs(3, 100, 40, per_token=per_token, dtype=torch.float32)

    def run():
        y = causal_filterbank(*arguments)
        return y, *torch.autograd.grad(y.square().sum(), arguments)

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_another_document_cannot_poison():
    x, h, w = (t.detach() for t in inputs())
    runs = segment_runs(torch.arange(23).div(10, rounding_mode="floor").expand(2, 23))
    poisoned = x.clone()
    poisoned[:, :10] = float("nan")
    y = causal_filterbank(poisoned, h, w, runs)
    assert torch.equal(y[:, 10:], causal_filterbank(x, h, w, runs)[:, 10:])


@WEIGHTS
def test_input_is_not_changed_and_may_be_non_contiguous(per_token):
    arguments = inputs(per_token=per_token)
    strided = [
        t.detach().mT.clone(memory_format=torch.contiguous_format).mT
        if t.dim() > 1
        else t.detach().repeat_interleave(2)[::2]
        for t in arguments
    ]
    assert not any(t.is_contiguous() for t in strided)
    before = [t.clone() for t in strided]
    for t in strided:
        t.requires_grad_()
    y, expected = causal_filterbank(*strided), causal_filterbank(*arguments)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        torch.autograd.grad(y.square().sum(), strided),
        torch.autograd.grad(expected.square().sum(), arguments),
    )
    assert all(torch.equal(t, old) for t, old in zip(strided, before, strict=True))


@WEIGHTS
@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty_inputs(shape, per_token):
    arguments = inputs(*shape, per_token=per_token)
    y = causal_filterbank(*arguments)
    assert y.shape == shape
    grads = torch.autograd.grad(y.sum(), arguments)
    assert [g.shape for g in grads] == [t.shape for t in arguments]
    assert not any(g.any() for g in grads)


@WEIGHTS
def test_autocast_leaves_the_sums_in_float32(per_token):
    x, h, w = inputs(per_token=per_token, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = causal_filterbank(x, h, w)
        grads = torch.autograd.grad(y.sum(), (x, h, w))
    assert torch.equal(y, causal_filterbank(x, h, w))
    expected = torch.autograd.grad(causal_filterbank(x, h, w).sum(), (x, h, w))
    assert all(torch.equal(a, b) for a, b in zip(grads, expected, strict=True))


@WEIGHTS
def test_the_operators_keep_torchs_rules(per_token):
    x, h, w = inputs(per_token=per_token)
    torch.library.opcheck(torch.ops.latentwave.filterbank.default, (x, h, w, None, [8], 0, True))


@pytest.mark.unchecked
@WEIGHTS
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_graph_breaks(per_token, dynamic):
    compiled = torch.compile(
        causal_filterbank, fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    for T in (23, 9):
        arguments = inputs(T=T, per_token=per_token)
        y, expected = compiled(*arguments, history=0), causal_filterbank(*arguments)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(
            torch.autograd.grad(y.sum(), arguments), torch.autograd.grad(expected.sum(), arguments)
        )


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"x": (4, 3)}, {}, r"x must have shape.*\(4, 3\)"),
        ({"analysis": (6,)}, {}, r"analysis \(filters, taps\).*\(6,\)"),
        ({"analysis": (0, 8), "weights": (0,)}, {}, r"at least one filter.*\(0, 8\)"),
        ({"weights": (5,)}, {}, r"weights must have shape \(6,\).*got \(5,\)"),
        ({"weights": (2, 22, 6)}, {}, r"or \(2, 23, 6\) for a tf_mask, got \(2, 22, 6\)"),
        ({"runs": (2, 3)}, {}, r"runs must have shape \(2, 23\), got \(2, 3\)"),
        ({}, {"history": 24}, r"between 0 and the 23 tokens of x, got 24"),
        ({}, {"history": -1}, r"got -1"),
        (
            {},
            {"kernel_sizes": [2, 4]},
            r"the longest equal to the 8 taps of analysis, got \[2, 4\]",
        ),
        ({}, {"kernel_sizes": [0, 8]}, r"must be >= 1.*\[0, 8\]"),
        ({}, {"kernel_sizes": []}, r"must be >= 1.*\[\]"),
        ({}, {"kernel_sizes": [1, 2, 4, 8]}, r"6 filters cannot be divided.*4 kernel sizes"),
    ],
)
def test_refusals_name_the_value(change, options, message):
    shapes = {"x": (2, 23, 5), "analysis": (6, 8), "weights": (6,)} | change
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    if "runs" in tensors:
        tensors["runs"] = tensors["runs"].long()
    with pytest.raises(ValueError, match=message):
        causal_filterbank(**tensors, **options)
