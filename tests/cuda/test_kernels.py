"""The operators that have Triton kernels, beside their plain forms on the same GPU."""

import pytest
import torch

from latentwave.functional import causal_filterbank, decaying_sums
from latentwave.functional.averages import causal_moving_average
from latentwave.functional.kernels import TRITON
from tests.cuda.agreement import DEVICE, assert_agree
from tests.functional.references import documents

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.skipif(not TRITON, reason="needs Triton"),
    pytest.mark.unchecked,
]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OUTPUTS = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
# A ReLU gate at the border of its ulp may flip.
GRADIENTS = {torch.float32: 5e-3, torch.bfloat16: 1e-2, torch.float16: 5e-3}


def with_gradients(function, inputs, dy):
    inputs = [t.detach().requires_grad_() for t in inputs]
    y = function(*inputs)
    return y.detach(), *torch.autograd.grad(y, inputs, dy)


def compare(function, inputs, dtypes, dy):
    """On the GPU against float64 on the CPU, with inputs that both hold exactly."""
    inputs = [t.to(dtype) for t, dtype in zip(inputs, dtypes, strict=True)]
    exact = with_gradients(function("cpu"), [t.double() for t in inputs], dy.double())
    fast = with_gradients(function(DEVICE), [t.to(DEVICE) for t in inputs], dy.to(DEVICE))
    for name, value, wanted in zip(["y", *range(len(inputs))], fast, exact, strict=True):
        error = (value.cpu().double() - wanted).norm() / wanted.norm()
        limit = (OUTPUTS if name == "y" else GRADIENTS)[dy.dtype]
        assert error < limit, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_token", [False, True], ids=["weights", "tf_mask"])
@pytest.mark.parametrize("with_runs", [False, True])
@pytest.mark.parametrize(
    ("T", "D", "M", "sizes", "history"),
    [
        (1, 3, 1, [1], 0),
        (37, 20, 6, [2, 8, 4], 3),
        (130, 200, 144, [32], 0),
        (65, 128, 20, [100], 99),
        (1, 130, 36, [128], 127),
    ],
)
def test_filterbank(T, D, M, sizes, history, with_runs, per_token, dtype):
    B, dtype = 2, DTYPES[dtype]
    runs = documents(B, history + T, with_runs)
    shape = (B, T, M) if per_token else (M,)
    x, h = torch.randn(B, history + T, D), torch.randn(M, max(sizes)) / max(sizes) ** 0.5
    dy = torch.randn(B, T, D).to(dtype)

    def on(device):
        its_runs = None if runs is None else runs.to(device)
        return lambda x, h, a: causal_filterbank(
            x, h, a, its_runs, kernel_sizes=sizes, history=history
        )

    dtypes = (dtype, dtype, torch.float32)
    compare(on, (x, h, torch.randn(shape)), dtypes, dy)


@pytest.mark.parametrize("boundary", ["zero", "mean"])
@pytest.mark.parametrize("with_runs", [False, True])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("T", [1, 130, 700])
def test_moving_average(T, dtype, with_runs, boundary):
    runs = documents(2, T, with_runs)

    def on(device):
        its_runs = None if runs is None else runs.to(device)
        return lambda x: causal_moving_average(
            x, [3, 0, 40, 1, 2, 3, 5, 1, 9], boundary=boundary, runs=its_runs, first_channel=4
        )

    x, dy = torch.randn(2, 2, T, 70).to(DTYPES[dtype])
    compare(on, (x,), (x.dtype,), dy)


@pytest.mark.parametrize("with_runs", [False, True])
@pytest.mark.parametrize("T", [1, 65, 700])
def test_decaying_sums(T, with_runs):
    runs = documents(2, T, with_runs)
    log_decay = torch.log1p(-torch.logspace(-4, -0.1, 70))

    def on(device):
        its_runs = None if runs is None else runs.to(device)
        return lambda x, d: decaying_sums(x, d, its_runs)

    x, dy = torch.randn(2, 2, T, 70)
    dy = dy.abs()  # so that sums in the rates' gradients do not cancel
    if T > 1:
        compare(on, (x.abs(), log_decay), (x.dtype, x.dtype), dy)
    else:
        assert_agree(on(DEVICE)(x.to(DEVICE), log_decay.to(DEVICE)), x.double(), output=True)
