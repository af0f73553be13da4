"""One compiled graph and one exported program serve every number of tokens."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim

from latentwave.mixers import build_mixer, list_mixers
from tests.comparing import assert_same, with_gradients
from tests.mixers.cases import CASES, CHANNELS, double, signal

pytestmark = pytest.mark.unchecked

FIRST = {kind: case for case, (kind, _) in reversed(CASES.items())}
EVERY_CASE = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if FIRST[kind] == case else pytest.mark.slow)
        for case, (kind, _) in CASES.items()
    ],
)
# Around the powers of two and the blocks of each form, in no order; the first two are compiled.
LENGTHS = (40, 57, 9, 130, 64, 33, 5, 3, 300, 16)


@EVERY_CASE
@pytest.mark.parametrize("masked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_compilation_after_the_second_length(case, masked):
    torch._dynamo.reset()
    mixer, counter = double(case), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(mixer, backend=counter, fullgraph=True)
    for tokens in LENGTHS:
        x = signal(2, tokens).requires_grad_()
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


@EVERY_CASE
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
    """The others can be converted by what knows PyTorch's own, such as ONNX."""
    mixer = build_mixer(kind, channels=CHANNELS, context_length=64).eval()
    graph = torch.export.export(mixer, (torch.randn(2, 48, CHANNELS),)).graph
    found = {str(node.target) for node in graph.nodes if "latentwave" in str(node.target)}
    assert bool(found) == (kind in {"ema", "filterbank", "adaptive_filterbank"})
