"""Every mixer on a GPU beside the same mixer in float64 on the CPU."""

import copy
import warnings

import pytest
import torch

from tests.cuda.agreement import DEVICE, assert_agree
from tests.mixers.cases import CASES, CHANNELS, build_case

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.unchecked,
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores"),
]
B, T, CHUNK = 2, 37, 9
WAYS = ["plain", "documents", "padding", "chunks"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
COMPILED = [
    "wavelet-mean",
    "learnable-db2",
    "ema-learnable",
    "short-conv",
    "filterbank",
    "adaptive",
]


def on_device(options, device):
    return {name: value.to(device) for name, value in options.items()}


def options_of(way):
    if way == "documents":
        lengths = torch.tensor([5, 1, 20, 11])
        return {"segment_ids": torch.arange(4).repeat_interleave(lengths).expand(B, T).contiguous()}
    if way == "padding":
        return {"padding_mask": torch.arange(T)[None] >= torch.tensor([[0], [9]])}
    return {}


def call(mixer, x, way):
    if way != "chunks":
        return mixer(x, **on_device(options_of(way), x.device))
    state = mixer.new_state()
    return torch.cat([mixer(part, state=state) for part in x.split(CHUNK, dim=1)], dim=1)


def results(mixer, x, dy, way):
    """The output and every gradient."""
    x = x.detach().requires_grad_()
    y = call(mixer, x, way)
    wanted = [x, *(p for p in mixer.parameters() if p.requires_grad)]
    grads = torch.autograd.grad(y, wanted, dy)
    return y.detach(), grads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_equals_float64_on_the_cpu(case, way, dtype):
    mixer = build_case(case).to(DTYPES[dtype])
    x, dy = (torch.randn(B, T, CHANNELS, dtype=DTYPES[dtype]) for _ in range(2))
    exact, exact_grads = results(copy.deepcopy(mixer).double(), x.double(), dy.double(), way)
    y, grads = results(mixer.to(DEVICE), x.to(DEVICE), dy.to(DEVICE), way)
    assert y.dtype == DTYPES[dtype]
    assert_agree(y, exact, output=True)
    names = ["x", *(name for name, p in mixer.named_parameters() if p.requires_grad)]
    for name, grad, wanted in zip(names, grads, exact_grads, strict=True):
        assert_agree(grad, wanted, name=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_no_pass_waits_for_the_device(case, way):
    mixer = build_case(case).to(DEVICE)
    x, dy = torch.randn(2, B, T, CHANNELS, device=DEVICE)
    options = on_device(options_of(way), DEVICE)

    def step():
        signal = x.detach().requires_grad_()
        y = call(mixer, signal, way) if way == "chunks" else mixer(signal, **options)
        y.backward(dy)

    step()  # constants move to the device, kernels are compiled
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "a prototype feature"
            torch.cuda.set_sync_debug_mode("error")
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_twice(case):
    mixer = build_case(case).to(DEVICE)
    x, dy = torch.randn(2, B, T, CHANNELS, device=DEVICE)
    first, second = (results(mixer, x, dy, "documents") for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1][0], second[1][0])


@pytest.mark.parametrize("case", COMPILED)
def test_compiled_equals_eager(case):
    torch.compiler.reset()
    mixer = build_case(case).to(DEVICE)
    x, dy = torch.randn(2, B, T, CHANNELS, device=DEVICE)
    y, grads = results(mixer, x, dy, "plain")
    compiled = torch.compile(mixer, fullgraph=True)
    signal = x.detach().requires_grad_()
    fast = compiled(signal)
    assert_agree(fast, y.double(), output=True)
    assert_agree(torch.autograd.grad(fast, signal, dy)[0], grads[0].double(), name="x")
