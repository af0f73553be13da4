"""Learnable kernels: the causal FIR beside depthwise conv1d, and where its forms cross over.

python benchmarks/bench_learnable.py --taps 512 --context 512 --batch 8 --channels 64
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import forward_backward, header, paired_seconds, peak_extra_bytes, verdict
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional import causal_fir, fir_forms


def depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """The naive form."""
    padded = F.pad(x.transpose(1, 2), (taps.shape[1] - 1, 0))
    return F.conv1d(padded, taps.flip(1).unsqueeze(1), groups=x.shape[2]).transpose(1, 2)


def with_direct_taps(count: int, function: Callable[[], object]) -> Callable[[], object]:
    """The same call with another crossover."""

    def run() -> object:
        before, fir_forms.DIRECT_TAPS = fir_forms.DIRECT_TAPS, count
        try:
            return function()
        finally:
            fir_forms.DIRECT_TAPS = before

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--taps", type=int, default=512)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)
    header("learnable kernels, forward + backward")
    x = torch.randn(options.batch, options.context, options.channels, requires_grad=True)
    weights = torch.randn_like(x)
    print(f"crossover: sums up to {fir_forms.DIRECT_TAPS} taps, block FFTs beyond")
    for K in sorted({4, 16, 64, 128, 256, options.taps}):
        taps = (torch.randn(options.channels, K) / K).requires_grad_()
        fast = forward_backward(causal_fir, x, taps, weights=weights)
        naive = forward_backward(depthwise, x, taps, weights=weights)
        torch.testing.assert_close(fast(), naive(), rtol=1e-3, atol=1e-3)
        functions = {
            "fast": fast,
            "naive": naive,
            "direct": with_direct_taps(K, fast),
            "blocks": with_direct_taps(max(1, K // 4), fast),
        }
        times = paired_seconds(functions, repeats=options.repeats, at_most=12.0)
        ratio = times["naive"] / times["fast"]
        mib = {name: peak_extra_bytes(call) / 2**20 for name, call in list(functions.items())[:2]}
        target = f" ({verdict(ratio, 3.0, at_least=True)})" if options.taps == K >= 512 else ""
        print(
            f"{K:5d} taps: ours {times['fast'] * 1e3:6.2f} ms, conv1d {times['naive'] * 1e3:6.2f} "
            f"ms: {ratio:.1f}x faster{target}; all direct {times['direct'] * 1e3:.2f} ms, blocks "
            f"from {max(1, K // 4)} taps {times['blocks'] * 1e3:.2f} ms; "
            f"{mib['fast']:.1f} against {mib['naive']:.1f} MiB"
        )


if __name__ == "__main__":
    main()
