"""One compiled graph and one exported program serve every number of tokens."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim

from latentwave.mixers import build_mixer, list_mixers
from tests.comparing import assert_same, with_gradients
from tests.mixers.cases import CASES, CHANNELS, double, randomize, signal

pytestmark = pytest.mark.unchecked

FIRST = {kind: case for case, (kind, _) in reversed(CASES.items())}
FIRST_CASES = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if FIRST[kind] == case else pytest.mark.slow)
        for case, (kind, _) in CASES.items()
    ],
)
"""One of each kind; all of them in the slow tests."""
# Around the powers of two and the blocks of each form, in no order; the first two are compiled.
LENGTHS = (40, 57, 9, 130, 64, 33, 5, 3, 300, 16)


def long_kernels():
    """More taps than are fused: one operator."""
    options = {"wavelet": "db4", "max_taps": 40}
    return randomize(build_mixer("learnable_wavelet", channels=4, context_length=64, **options))


@FIRST_CASES
@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_compilation_after_the_second_length(case, masked):
    check_lengths(double(case), masked)


@pytest.mark.parametrize("masked", [False, True])
def test_long_kernels_compile_no_more_often(masked):
    check_lengths(long_kernels().double(), masked)


def check_lengths(mixer, masked):
    """Two graphs equal eager calls at all lengths, gradients included."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(mixer, backend=counter, fullgraph=True)
    for tokens in LENGTHS:
        x = torch.randn(2, tokens, mixer.channels, dtype=torch.float64, requires_grad=True)
        masks = {}
        if masked:
            masks["segment_ids"] = torch.arange(tokens).expand(2, -1) // 7
            masks["padding_mask"] = torch.arange(tokens).expand(2, -1) >= torch.tensor([[0], [1]])
        inputs = [x, *mixer.parameters()]
        found, expected = (
            with_gradients(lambda x, *_, run=run, masks=masks: run(x, **masks), inputs)
            for run in (compiled, mixer)
        )
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert counter.frame_count <= 2


@FIRST_CASES
def test_an_exported_program_takes_every_length(case):
    mixer = double(case).eval()
    shape = {0: Dim("B", min=1, max=8), 1: Dim("T", min=2, max=4096)}
    exported = torch.export.export(mixer, (signal(2, 48),), dynamic_shapes=(shape,))
    program = exported.module()
    for batch, tokens in ((2, 48), (1, 2), (3, 33), (1, 1000)):
        x = signal(batch, tokens)
        assert_same(program(x), mixer(x), share=1e-9)


@pytest.mark.parametrize("kind", list_mixers())
def test_which_programs_need_the_operators_of_latentwave(kind):
    """The others use PyTorch's operators alone, so they can be converted, for instance to ONNX."""
    mixer = build_mixer(kind, channels=CHANNELS, context_length=64)
    assert needs_operators(mixer) == (kind in {"ema", "filterbank", "adaptive_filterbank"})


def test_long_kernels_need_the_operators_of_latentwave():
    assert needs_operators(long_kernels())


def needs_operators(mixer):
    graph = torch.export.export(mixer.eval(), (torch.randn(2, 48, mixer.channels),)).graph
    return any("latentwave" in str(node.target) for node in graph.nodes)
