import pytest
import torch

from latentwave.functional import (
    causal_filterbank,
    filterbank_grid,
    naive_filterbank,
    noncausal_filterbank,
    segment_runs,
)
from tests.comparing import assert_same, with_gradients
from tests.functional.references import documents

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


def drawn(B=2, T=23, D=5, M=6, K=8, per_token=False, dtype=torch.float64):
    x, h = torch.randn(B, T, D), torch.randn(M, K)
    w = torch.randn(B, T, M) if per_token else torch.randn(M)
    return [t.to(dtype).requires_grad_() for t in (x, h, w)]


def fused(causal):
    return causal_filterbank if causal else noncausal_filterbank


def naive_by_document(x, analysis, weights, runs, **how):
    """The naive form of each document alone."""
    y = torch.zeros_like(x)
    for b in range(len(x)):
        for document in runs[b].unique():
            own = runs[b] == document
            mask = weights[b : b + 1, own] if weights.dim() == 3 else weights
            y[b, own] = naive_filterbank(x[b : b + 1, own], analysis, mask, **how)[0]
    return y


@CAUSAL
@WEIGHTS
@SIZES
@pytest.mark.parametrize("T", [1, 7, 64, 65])
@pytest.mark.parametrize("with_runs", [False, True])
def test_value_and_gradients_equal_conv1d(
    causal, per_token, kernel_sizes, T, with_runs, small_blocks
):
    inputs, runs = drawn(T=T, per_token=per_token), documents(2, T, with_runs)
    found = with_gradients(fused(causal), inputs, runs=runs, kernel_sizes=kernel_sizes)
    whole = torch.zeros(2, T, dtype=torch.int64) if runs is None else runs
    how = {"runs": whole, "kernel_sizes": kernel_sizes, "causal": causal}
    torch.testing.assert_close(found, with_gradients(naive_by_document, inputs, **how))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1), (3, 130, 7, 3, 5), (1, 70, 700, 144, 32), (5, 9, 301, 6, 16)]
)
@WEIGHTS
def test_odd_sizes_equal_conv1d_in_float32(shape, per_token):
    inputs = drawn(*shape, per_token=per_token, dtype=torch.float32)
    expected = with_gradients(naive_filterbank, inputs)
    for fast, plain in zip(with_gradients(causal_filterbank, inputs), expected, strict=True):
        assert_same(fast, plain)


def test_a_second_derivative_is_refused():
    x, h, w = drawn()
    (grad,) = torch.autograd.grad(causal_filterbank(x, h, w).sum(), h, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"no second derivative.*naive_filterbank"):
        grad.sum().backward()


def test_a_forward_mode_derivative_is_refused():
    x, h, w = drawn()
    for change in (x, h, w):
        with pytest.raises(NotImplementedError, match="forward mode"):
            torch.func.jvp(
                lambda v, c=change: causal_filterbank(*(v if i is c else i for i in (x, h, w))),
                (change.detach(),),
                (torch.ones_like(change),),
            )


def test_the_naive_form_has_a_second_derivative():
    assert torch.autograd.gradgradcheck(naive_filterbank, drawn(1, 5, 1, 2, 3))


@WEIGHTS
@pytest.mark.parametrize("history", [0, 1, 7, 12, 23])
@pytest.mark.parametrize("with_runs", [False, True])
def test_history_is_read_but_has_no_output(per_token, history, with_runs):
    x, h, w = drawn(per_token=per_token)
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
        ({}, {"history": 24}, r"history must be in 0 … 23, .* got 24"),
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
