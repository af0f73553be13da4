"""What compilers are told of the library's operators is what they do, strides included."""

import pytest
import torch

from latentwave.functional.segments import segment_runs

OPERATORS = torch.ops.latentwave
B, T, C, K, M = 2, 45, 3, 20, 4


def signal(layout):
    x = torch.randn(B, T, C)
    return x.transpose(1, 2).contiguous().transpose(1, 2) if layout == "channels first" else x


def inputs(operator, x, runs):
    taps, bank, weights = torch.randn(C, K), torch.randn(M, 8), torch.randn(M)
    of_bank = (x, bank, weights, runs, [8], 5, True)
    return {
        "decaying_scan": (x, -torch.rand(C), runs),
        "convolve": (x, taps, runs),
        "correlate": (x, torch.randn(B, T, C), K, runs),
        "filterbank": of_bank,
        "filterbank_backward": (torch.randn(B, T - 5, C), *of_bank),
    }[operator]


@pytest.mark.parametrize("layout", ["tokens first", "channels first"])
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize(
    "operator", ["decaying_scan", "convolve", "correlate", "filterbank", "filterbank_backward"]
)
def test_operators_do_what_compilers_are_told(operator, documents, layout):
    runs = segment_runs(torch.arange(T).expand(B, -1) // 10) if documents else None
    checks = ("test_schema", "test_faketensor")
    found = inputs(operator, signal(layout), runs)
    torch.library.opcheck(getattr(OPERATORS, operator).default, found, test_utils=checks)
