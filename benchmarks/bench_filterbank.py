"""The fused filterbank beside `conv1d` → ReLU → weighted sum, forward + backward."""

from collections.abc import Iterator
from functools import partial

import torch
from measure import (  # fmt: skip
    KERNEL_SIZE,
    NUM_FILTERS,
    Row,
    compare,
    forward_backward,
    main,
    paired,
    peak_mib,
    relative_error,
)

from latentwave.functional import causal_filterbank, naive_filterbank

SCALES = [4, 8, 16, 32, 64]


def rows(quick: bool) -> Iterator[Row]:
    B, T, D = (1, 64, 8) if quick else (8, 512, 128)
    G = 64 if quick else 2048
    M, K = NUM_FILTERS, KERNEL_SIZE
    x, dy = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D)
    analysis = (torch.randn(M, K) / K**0.5).requires_grad_()
    square, product = torch.randn(G, G), torch.empty(G, G)
    for name, shape in (("fixed weights", (M,)), ("adaptive mask", (B, T, M))):
        weights = (torch.randn(shape) / M).requires_grad_()
        naive = forward_backward(naive_filterbank, x, analysis, weights, weights=dy)
        fused = forward_backward(causal_filterbank, x, analysis, weights, weights=dy)
        sgemm = partial(torch.mm, square, square, out=product)
        ms = paired({"sgemm": sgemm, "fused": fused, "naive": naive}, repeats=15)
        row = partial(compare, "filterbank", f"{B}×{T}×{D}, M {M}, K {K}")
        own = partial(row, against="conv1d")
        error = relative_error(fused(), naive())
        faster = partial(own, f"{name}: time", reads="faster", at_least=4)
        yield faster("ms", ms["fused"], ms["naive"], error=error)
        peaks = (peak_mib(fused), peak_mib(naive))
        yield own(f"{name}: memory", "MiB", *peaks, "smaller", at_least=20)
        # One product forward; backward recomputes it and needs two more.
        rate = [4 * 2e-6 * M * K * B * T * D / value for value in ms["fused"]]
        best = [2e-6 * G**3 / value for value in ms["sgemm"]]
        yield row(f"{name}: four products", "GFLOP/s", rate, best, against="sgemm", at_least=0.6)
    yield by_scale(x, dy)


def by_scale(x: torch.Tensor, dy: torch.Tensor) -> Row:
    """Filters of several lengths, beside filters padded with zeros to the longest."""
    M, K = 5 * 29, max(SCALES)
    analysis, weights = torch.randn(M, K, requires_grad=True), torch.randn(M, requires_grad=True)
    used = torch.arange(K) < torch.tensor(SCALES).repeat_interleave(29)[:, None]

    def padded(x: torch.Tensor, analysis: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return causal_filterbank(x, analysis * used, weights)

    grouped = partial(causal_filterbank, kernel_sizes=SCALES)
    ours = forward_backward(grouped, x, analysis, weights, weights=dy)
    reference = forward_backward(padded, x, analysis, weights, weights=dy)
    ms = paired({"ours": ours, "reference": reference})
    sizes = f"{'×'.join(map(str, x.shape))}, M {M}, K {SCALES[0]} to {K}"
    row = partial(compare, "filterbank", sizes, against=f"padded to {K} taps", reads="faster")
    error = relative_error(ours(), reference())
    return row("several scales: time", "ms", ms["ours"], ms["reference"], error=error)


if __name__ == "__main__":
    main(rows)
