"""The operators do what compilers are told about them, strides included."""

import pytest
import torch

from latentwave.functional.segments import segment_runs

B, T, C, K, M = 2, 45, 3, 20, 4


def signal(layout):
    x = torch.randn(B, T, C)
    return x.transpose(1, 2).contiguous().transpose(1, 2) if layout == "channels first" else x


def inputs(x, runs):
    taps, bank, weights = torch.randn(C, K), torch.randn(M, 8), torch.randn(M)
    of_bank, masks = (bank, weights, runs, [8], 5, True), torch.randn(B, T - 5, M)
    per_token = (bank, masks, *of_bank[2:])
    dy = torch.randn(B, T - 5, C)
    return {
        "decaying_scan": (x, -torch.rand(C), runs),
        "convolve": (x, taps, runs),
        "correlate": (x, torch.randn(B, T, C), K, runs),
        "filterbank": (x, *of_bank),
        "filterbank_backward": (dy, x, *of_bank),
        "filterbank, per token": (x, *per_token),
        "filterbank_backward, per token": (dy, x, *per_token),
    }


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch 2.14's own check
@pytest.mark.parametrize("layout", ["tokens first", "channels first"])
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("case", inputs(torch.zeros(B, T, C), None))
def test_operators_do_what_compilers_are_told(case, documents, layout):
    runs = segment_runs(torch.arange(T).expand(B, -1) // 10) if documents else None
    operator = getattr(torch.ops.latentwave, case.split(",")[0])
    torch.library.opcheck(operator.default, inputs(signal(layout), runs)[case])


def test_gradients_without_tokens_have_the_strides_that_compilers_are_told():
    x, bank = torch.zeros(0, T, C), torch.randn(8, M).t()
    given = (torch.zeros(0, T, C), x, bank, torch.randn(M), None, [8], 0, True)
    torch.library.opcheck(torch.ops.latentwave.filterbank_backward.default, given)
