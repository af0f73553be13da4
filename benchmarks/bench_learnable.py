"""Learned kernels by length and fixed averages beside depthwise conv1d, forward + backward.

Also the two forms of the causal FIR filter beside each other, on both sides of their crossover.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from measure import Row, compare, forward_backward, main, paired, peak_mib, relative_error
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional import causal_fir, fir_forms
from latentwave.mixers import WaveletMixer


def depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """The naive form."""
    padded = F.pad(x.transpose(1, 2), (taps.shape[1] - 1, 0))
    return F.conv1d(padded, taps.flip(1).unsqueeze(1), groups=x.shape[2]).transpose(1, 2)


def naive_averages(mixer: WaveletMixer) -> Callable[[Tensor], Tensor]:
    """The mixer with zero-padded Haar kernels."""
    widths = 2 ** torch.tensor(list(mixer.levels))[:, None]
    taps = (torch.arange(mixer.receptive_field) < widths) / widths
    first = mixer.first_mixed
    return lambda x: torch.cat([x[..., :first], depthwise(x[..., first:], taps)], -1)


def with_direct_taps(count: int, function: Callable[[], object]) -> Callable[[], object]:
    """The same call with another crossover."""

    def run() -> object:
        before, fir_forms.DIRECT_TAPS = fir_forms.DIRECT_TAPS, count
        try:
            return function()
        finally:
            fir_forms.DIRECT_TAPS = before

    return run


def rows(quick: bool) -> Iterator[Row]:
    B, T, D = (1, 512, 4) if quick else (8, 512, 64)
    x = torch.randn(B, T, D, requires_grad=True)
    dy = torch.randn_like(x)
    for K in (4, 16, 64, 128, 256, 512):
        taps = (torch.randn(D, K) / K).requires_grad_()
        fast = forward_backward(causal_fir, x, taps, weights=dy)
        naive = forward_backward(depthwise, x, taps, weights=dy)
        sums, limit = K <= fir_forms.DIRECT_TAPS, max(1, K // 4)
        other = with_direct_taps(limit if sums else K, fast)
        ms = paired({"fast": fast, "naive": naive, "other": other}, repeats=15, at_most=12.0)
        row = partial(compare, "kernels", f"{B}×{T}×{D}")
        error, target = relative_error(fast(), naive()), 3 if K == 512 else None
        faster = partial(row, f"{K} taps: time", "ms", ms["fast"], reads="faster")
        yield faster(ms["naive"], against="conv1d", error=error, at_least=target)
        faster = partial(row, f"{K} taps: choice of form", "ms", ms["fast"], reads="faster")
        yield faster(ms["other"], against=f"blocks from {limit} taps" if sums else "sums")
    peaks = peak_mib(fast), peak_mib(naive)
    yield row(f"{K} taps: memory", "MiB", *peaks, against="conv1d")

    x = torch.randn(B, T, 2 * D, requires_grad=True)
    mixer, dy = WaveletMixer(2 * D, T), torch.randn_like(x)
    fast = forward_backward(mixer, x, weights=dy)
    naive = forward_backward(naive_averages(mixer), x, weights=dy)
    row = partial(compare, "kernels", f"{B}×{T}×{2 * D}", against="conv1d")
    ms, error = paired({"fast": fast, "naive": naive}, repeats=35), relative_error(fast(), naive())
    yield row("wavelet haar: time", "ms", ms["fast"], ms["naive"], "faster", error=error)
    peaks = peak_mib(fast), peak_mib(naive)
    yield row("wavelet haar: memory", "MiB", *peaks, "smaller")


if __name__ == "__main__":
    main(rows)
