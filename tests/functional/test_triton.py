"""The Triton kernels in Triton's interpreter on the CPU, beside the plain forms in float64.

`make test` sets TRITON_INTERPRET=1 before Triton is imported. The interpreter has no bfloat16, so
float16 stands for both 16-bit types.
"""

import os

import pytest
import torch

from latentwave.functional import averages as plain_averages
from latentwave.functional import decaying_sums, filterbank_ops
from latentwave.functional.kernels import TRITON
from tests.comparing import assert_same
from tests.functional.references import documents

pytestmark = [
    pytest.mark.skipif(
        not TRITON or os.environ.get("TRITON_INTERPRET") != "1",
        reason="needs Triton and TRITON_INTERPRET=1",
    ),
    # The import hook of the checks wraps functions, and kernels are read as source.
    pytest.mark.unchecked,
]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
DOCUMENTS = pytest.mark.parametrize("with_runs", [False, True], ids=["whole", "documents"])
# Of the largest value.
TOLERANCES = {torch.float32: 3e-6, torch.float16: 4e-3}


@pytest.fixture
def kernels():
    """The modules that import Triton."""
    from latentwave.functional.kernels import averages, filterbank, scan

    return {"averages": averages, "filterbank": filterbank, "scan": scan}


def rounded(*shape, dtype):
    """Values in float64 that `dtype` holds exactly."""
    return torch.randn(*shape).to(dtype).double()


FILTERBANKS = {
    "one token": {"T": 1, "D": 3, "M": 3, "sizes": [1]},
    "short": {"T": 19, "D": 5, "M": 6, "sizes": [8]},
    "scales, history": {"T": 37, "D": 20, "M": 6, "sizes": [2, 8, 4], "history": 3},
    "long history": {"T": 2, "D": 5, "M": 18, "sizes": [5], "history": 12},
    "several tiles": {"B": 1, "T": 9, "D": 130, "M": 17, "sizes": [3]},
    "wide": {"B": 1, "T": 29, "D": 4, "M": 4, "sizes": [40], "history": 20},
    "centred": {"T": 23, "D": 5, "M": 6, "sizes": [2, 8, 4], "causal": False},
}


@DTYPES
@DOCUMENTS
@pytest.mark.parametrize("per_token", [False, True], ids=["weights", "tf_mask"])
@pytest.mark.parametrize("case", FILTERBANKS)
def test_filterbank(kernels, case, per_token, with_runs, dtype):
    shape = {"B": 2, "history": 0, "causal": True} | FILTERBANKS[case]
    B, T, D, M, history = (shape[name] for name in ("B", "T", "D", "M", "history"))
    x, grad = rounded(B, history + T, D, dtype=dtype), rounded(B, T, D, dtype=dtype)
    analysis = rounded(M, max(shape["sizes"]), dtype=dtype)
    weights = torch.randn((B, T, M) if per_token else M).double()
    runs = documents(B, history + T, with_runs)
    options = (runs, shape["sizes"], history, shape["causal"])
    exact = [
        filterbank_ops.plain_filterbank(x, analysis, weights, *options),
        *filterbank_ops.plain_filterbank_backward(grad, x, analysis, weights, *options),
    ]
    inputs = (x.to(dtype), analysis.float(), weights.float(), *options)
    found = [
        kernels["filterbank"].filterbank(*inputs),
        *kernels["filterbank"].filterbank_backward(grad.to(dtype), *inputs),
    ]
    assert [t.dtype for t in found] == [dtype, dtype, torch.float32, torch.float32]
    for value, wanted in zip(found, exact, strict=True):
        assert_same(value, wanted, TOLERANCES[dtype])


@DTYPES
@DOCUMENTS
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("scaled", ["unscaled", "by channel", "by token", "averaged"])
@pytest.mark.parametrize(("T", "first", "sizes"), [(1, 0, [3]), (130, 4, [3, 0, 20, 1, 2, 1])])
def test_window_sums(kernels, T, first, sizes, scaled, adjoint, with_runs, dtype):
    x, runs = rounded(2, T, 40, dtype=dtype), documents(2, T, with_runs)
    count = sum(sizes)
    scale = {"by channel": torch.rand(count), "by token": torch.rand(2, T, count)}.get(scaled)
    plan = plain_averages._Plan(tuple(sizes), first, adjoint, scaled == "averaged")
    exact = plain_averages._apply(x, None if scale is None else scale.double(), runs, plan)
    y = kernels["averages"].window_sums(x.to(dtype), scale, runs, *plan)
    assert_same(y, exact, TOLERANCES[dtype])
    outside = [*range(first), *range(first + count, 40)]
    assert torch.equal(y[..., outside].double(), x[..., outside])


@DOCUMENTS
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("T", [1, 64, 65, 150])
def test_decaying_sums(kernels, T, backward, with_runs):
    x, runs = torch.randn(2, T, 19), documents(2, T, with_runs)
    if backward and runs is not None:
        runs = runs.flip(1)  # as the adjoint calls it
    log_decay = torch.log1p(-torch.logspace(-4, -0.1, 19))
    y = kernels["scan"].decaying_scan(x, log_decay, runs)
    assert_same(y, decaying_sums(x.double(), log_decay.double(), runs), 3e-6)
