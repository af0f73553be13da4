"""The fused filterbank beside `conv1d` → ReLU → weighted sum.

python benchmarks/bench_filterbank.py --batch 8 --tokens 512 --channels 128
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import forward_backward, header, paired_seconds, peak_extra_bytes, verdict
from torch import Tensor

from latentwave.functional import causal_filterbank, naive_filterbank
from latentwave.mixers import Mixer, build_mixer

NUM_FILTERS, KERNEL_SIZE = 144, 32
SCALES = [4, 8, 16, 32, 64]
SHORTEST, LONGEST, FEW_CHANNELS = 512, 131072, 8
GEMM = 2048


def against_naive(B: int, T: int, D: int) -> None:
    M, K = NUM_FILTERS, KERNEL_SIZE
    x, dy = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D)
    analysis = (torch.randn(M, K) / K**0.5).requires_grad_()
    square, product = torch.randn(GEMM, GEMM), torch.empty(GEMM, GEMM)
    print(f"forward + backward at B {B}, T {T}, D {D}, M {M}, K {K}")
    for name, shape in (("weights", (M,)), ("tf_mask", (B, T, M))):
        weights = (torch.randn(shape) / M).requires_grad_()
        naive = forward_backward(naive_filterbank, x, analysis, weights, weights=dy)
        fused = forward_backward(causal_filterbank, x, analysis, weights, weights=dy)
        seconds = paired_seconds(
            {
                "sgemm": lambda: torch.mm(square, square, out=product),
                "fused": fused,
                "naive": naive,
            },
            repeats=15,
        )
        held = {"naive": peak_extra_bytes(naive), "fused": peak_extra_bytes(fused)}
        errors = [
            ((fast - plain).norm() / plain.norm()).item()
            for fast, plain in zip(fused(), naive(), strict=True)
        ]
        # One product forward; backward recomputes it and needs two more.
        peak = 2 * GEMM**3 / seconds["sgemm"]
        share = 4 * 2 * M * K * B * T * D / seconds["fused"] / peak
        faster = seconds["naive"] / seconds["fused"]
        smaller = held["naive"] / held["fused"]
        print(
            f"{name}: naive {1e3 * seconds['naive']:.0f} ms, fused "
            f"{1e3 * seconds['fused']:.0f} ms: {faster:.1f}x faster "
            f"({verdict(faster, 4, at_least=True)})\n"
            f"  extra memory {held['naive'] / 2**20:.0f} MiB, {held['fused'] / 2**20:.1f} MiB: "
            f"{smaller:.0f}x smaller ({verdict(smaller, 20, at_least=True)})\n"
            f"  four GEMMs at {share:.2f} of sgemm's {peak / 1e9:.0f} GFLOP/s "
            f"({verdict(share, 0.6, at_least=True)})\n"
            f"  relative error of y, dx, d analysis, d {name}: "
            + ", ".join(f"{error:.0e}" for error in errors)
        )


def scales_against_padding(B: int, T: int, D: int) -> None:
    M, K = 5 * 29, max(SCALES)
    x, dy = torch.randn(B, T, D, requires_grad=True), torch.randn(B, T, D)
    analysis, weights = torch.randn(M, K, requires_grad=True), torch.randn(M, requires_grad=True)

    def grouped(x: Tensor, analysis: Tensor, weights: Tensor) -> Tensor:
        return causal_filterbank(x, analysis, weights, kernel_sizes=SCALES)

    calls = {
        "grouped": forward_backward(grouped, x, analysis, weights, weights=dy),
        "padded": forward_backward(causal_filterbank, x, analysis, weights, weights=dy),
    }
    seconds = paired_seconds(calls)
    print(
        f"taps {SCALES}, M {M}: by scale {1e3 * seconds['grouped']:.0f} ms, padded to {K} "
        f"{1e3 * seconds['padded']:.0f} ms: {seconds['padded'] / seconds['grouped']:.2f}x faster"
    )


def growth() -> None:
    lengths = [SHORTEST, 4096, 32768, LONGEST]
    print(f"growth with T, batch 1, D {FEW_CHANNELS}, us per token at T = {lengths}")
    for kind in ("filterbank", "adaptive_filterbank"):
        mixer = build_mixer(kind, channels=FEW_CHANNELS, context_length=SHORTEST)
        calls = {}
        for T in lengths:
            x = torch.randn(1, T, FEW_CHANNELS, requires_grad=True)
            calls[str(T)] = forward_backward(mixer, x, weights=torch.randn_like(x))
        seconds = paired_seconds(calls, repeats=5)
        per_token = [seconds[str(T)] / T for T in lengths]
        first, last = (peak_extra_bytes(calls[str(T)]) / T for T in (SHORTEST, LONGEST))
        slower, larger = per_token[-1] / per_token[0], last / first
        print(
            f"{kind}: {', '.join(f'{1e6 * value:.2f}' for value in per_token)}: time "
            f"{slower:.2f}x ({verdict(slower, 1.5, at_least=False)}), memory {first:.0f} to "
            f"{last:.0f} bytes {larger:.2f}x ({verdict(larger, 1.5, at_least=False)})"
        )


def decoding(D: int) -> None:
    print(f"decoding one token, batch 1, D {D}")
    for kind in ("filterbank", "adaptive_filterbank"):
        mixer = build_mixer(kind, channels=D, context_length=SHORTEST)
        near, far = _step(mixer, 8), _step(mixer, 4096)
        with torch.no_grad():
            seconds = paired_seconds({"near": near, "far": far}, repeats=200)
        print(
            f"{kind}: {1e6 * seconds['near']:.0f} us behind 8 tokens, "
            f"{1e6 * seconds['far']:.0f} us behind 4096"
        )


def _step(mixer: Mixer, position: int) -> Callable[[], Tensor]:
    state = mixer.new_state()
    prefix = torch.randn(1, position, mixer.channels)
    with torch.no_grad():
        mixer(prefix, state=state)
    return lambda: mixer(prefix[:, -1:], state=state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--channels", type=int, default=128)
    options = parser.parse_args()
    torch.manual_seed(0)
    header("filterbank")
    against_naive(options.batch, options.tokens, options.channels)
    scales_against_padding(options.batch, options.tokens, options.channels)
    growth()
    decoding(options.channels)


if __name__ == "__main__":
    main()
