"""The contract of every operation along the tokens."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentwave.functional import (
    causal_cascade,
    causal_filterbank,
    causal_fir,
    causal_moving_average,
    decaying_sums,
    dilated_fir,
    dynamic_fir,
    noncausal_filterbank,
    orthogonal_lowpass,
    pyramid_sum,
    segment_runs,
)
from tests.comparing import assert_same, with_gradients

DB2 = torch.from_numpy(orthogonal_lowpass("db2"))
SCALES = {"kernel_sizes": [2, 8, 4]}


def average(boundary):
    def run(x, runs=None):
        return causal_moving_average(x, [1, 0, 0, 1], boundary=boundary, runs=runs, first_channel=1)

    return run


def cascade(x, runs=None):
    """Of all channels, at level 2 or at levels 1 and 3."""
    groups = [0, x.shape[2]] if x.shape[2] < 3 else [1, 0, x.shape[2] - 1]
    return causal_cascade(x, DB2.to(x), groups, runs)


def dynamic(x, taps, runs=None):
    """Kernels of 3 taps per token, for each channel or for all, flattened to a matrix."""
    return dynamic_fir(x, taps.unflatten(2, (3, taps.shape[2] // 3)), runs=runs)


# Functions of x (B, T, C) and of parameters, whose shapes follow from it.
LINEAR = {
    "moving average": (average("zero"), lambda B, T, C: []),
    "mean": (average("mean"), lambda B, T, C: []),
    "cascade": (cascade, lambda B, T, C: []),
    "dilated": (lambda x, taps, runs=None: dilated_fir(x, taps, 3, runs), lambda B, T, C: [(C, 3)]),
    "decaying sums": (
        lambda x, rates, runs=None: decaying_sums(x, -rates.abs(), runs),
        lambda B, T, C: [(C,)],
    ),
    "pyramid": (pyramid_sum, lambda B, T, C: [(4, C)]),
    "3 taps": (causal_fir, lambda B, T, C: [(C, 3)]),
    "40 taps": (causal_fir, lambda B, T, C: [(C, 40)]),
    "300 taps": (causal_fir, lambda B, T, C: [(C, 300)]),
}
OPERATIONS = LINEAR | {
    "dynamic": (dynamic, lambda B, T, C: [(B, T, 3 * C)]),
    "dynamic of all channels": (dynamic, lambda B, T, C: [(B, T, 3)]),
    "filterbank": (
        lambda *inputs, runs=None: causal_filterbank(*inputs, runs, **SCALES),
        lambda B, T, C: [(6, 8), (6,)],
    ),
    "filterbank with tf_mask": (
        lambda *inputs, runs=None: causal_filterbank(*inputs, runs, **SCALES),
        lambda B, T, C: [(6, 8), (B, T, 6)],
    ),
    "noncausal filterbank": (
        lambda *inputs, runs=None: noncausal_filterbank(*inputs, runs, **SCALES),
        lambda B, T, C: [(6, 8), (6,)],
    ),
}
EVERY_OPERATION = pytest.mark.parametrize("name", OPERATIONS)


def drawn(name, B=2, T=40, C=5, dtype=torch.float64):
    """An operation and its inputs, which require gradients."""
    function, shapes = OPERATIONS[name]
    inputs = [torch.randn(shape).to(dtype) for shape in [(B, T, C), *shapes(B, T, C)]]
    return function, [tensor.requires_grad_() for tensor in inputs]


def three_documents(B, T):
    # The last shares its id with the first: borders count, not values.
    return segment_runs(torch.tensor([4, 9, 4]).repeat_interleave(-(-T // 3))[:T].expand(B, T))


@EVERY_OPERATION
def test_inputs_are_not_changed_and_may_be_non_contiguous(name):
    function, inputs = drawn(name)
    strided = [
        torch.stack([tensor.detach(), torch.zeros_like(tensor)], dim=-1)[..., 0]
        for tensor in inputs
    ]
    assert not any(tensor.is_contiguous() for tensor in strided)
    found = with_gradients(function, [tensor.requires_grad_() for tensor in strided])
    torch.testing.assert_close(found, with_gradients(function, inputs))
    assert all(torch.equal(a, b) for a, b in zip(strided, inputs, strict=True))


@EVERY_OPERATION
@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3)])
def test_empty_inputs(name, shape):
    found = with_gradients(*drawn(name, *shape))
    assert found[0].shape == found[1].shape == shape
    assert not any(gradient.any() for gradient in found[1:])


@EVERY_OPERATION
def test_results_are_deterministic_and_ignore_autocast(name):
    function, inputs = drawn(name, T=300, dtype=torch.float32)
    first, second = with_gradients(function, inputs), with_gradients(function, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        third = with_gradients(function, inputs)
    for others in zip(first, second, third, strict=True):
        assert torch.equal(others[0], others[1])
        assert torch.equal(others[0], others[2])


@EVERY_OPERATION
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_are_taken_in_float32(name, dtype):
    # A difference of prefix sums in bfloat16 would be off by the signal itself.
    function, inputs = drawn(name, T=1000, dtype=dtype)
    exact = with_gradients(
        function, [tensor.detach().double().requires_grad_() for tensor in inputs]
    )
    share = 2 * torch.finfo(dtype).eps + 1e-5
    y, *gradients = with_gradients(function, inputs)
    assert y.dtype == (torch.float32 if name == "decaying sums" else dtype)
    assert all(gradient.dtype == dtype for gradient in gradients)
    for found, wanted in zip([y, *gradients], exact, strict=True):
        assert_same(found, wanted, share)


@EVERY_OPERATION
def test_documents_are_separate(name):
    function, inputs = drawn(name, B=1, T=60)
    x, *parameters = (tensor.detach() for tensor in inputs)
    expected = function(x, *parameters, runs=three_documents(1, 60))
    for index, part in enumerate(x.split(20, dim=1)):
        own = slice(20 * index, 20 * index + 20)
        here = [p[:, own] if p.dim() == 3 else p for p in parameters]
        torch.testing.assert_close(function(part, *here), expected[:, own])
    if "filterbank" in name:
        x[:, 20:40] = float("nan")
        found = function(x, *parameters, runs=three_documents(1, 60))
        assert torch.equal(found[:, :20], expected[:, :20])
        assert torch.equal(found[:, 40:], expected[:, 40:])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if "taps" not in name])
def test_derivatives(name, packed):
    function, inputs = drawn(name, B=1, T=9, C=3)
    filtered = functools.partial(function, runs=three_documents(1, 9) if packed else None)
    assert torch.autograd.gradcheck(filtered, inputs)
    if "filterbank" not in name:
        assert torch.autograd.gradgradcheck(filtered, inputs)


@EVERY_OPERATION
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap loops over some operators
def test_transforms_of_torch_func(name):
    function, inputs = drawn(name, B=3, T=21)
    x, *parameters = (tensor.detach() for tensor in inputs)
    per_signal = [0 if parameter.dim() == 3 else None for parameter in parameters]
    runs = three_documents(3, 21)

    def loss(signal, documents, *parameters):
        each = [p.unsqueeze(0) if p.dim() == 2 and p.shape[0] == 21 else p for p in parameters]
        return function(signal.unsqueeze(0), *each, runs=documents.unsqueeze(0)).square().sum()

    of_all = tuple(i for i in range(len(inputs) + 1) if i != 1)
    found = torch.func.vmap(torch.func.grad(loss, of_all), (0, 0, *per_signal))(
        x, runs, *parameters
    )
    for b in range(3):
        own = [tensor[b] if tensor.dim() == 3 else tensor for tensor in [x, *parameters]]
        own = [tensor.requires_grad_() for tensor in own]
        wanted = torch.autograd.grad(loss(own[0], runs[b], *own[1:]), own)
        torch.testing.assert_close([each[b] for each in found], list(wanted))


@pytest.mark.parametrize("name", LINEAR)
@settings(deadline=None, max_examples=10)
@given(T=st.integers(1, 300), shift=st.integers(0, 70), seed=st.integers(0, 99))
def test_linear_and_shift_equivariant(name, T, shift, seed):
    torch.manual_seed(seed)
    function, (x, *parameters) = drawn(name, T=T)
    z = torch.randn_like(x)
    y = function(x, *parameters)
    torch.testing.assert_close(function(3 * x - z, *parameters), 3 * y - function(z, *parameters))
    late = torch.nn.functional.pad(x, (0, 0, shift, 0))
    if name != "mean":  # where the zeros count
        torch.testing.assert_close(function(late, *parameters)[:, shift:], y)
