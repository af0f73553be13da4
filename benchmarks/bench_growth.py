"""Long sequences: time, memory and error per token of every mixer here from T = 512 on.

python benchmarks/bench_growth.py --longest 131072 --channels 64
"""

from __future__ import annotations

import argparse

import torch
from measure import forward_backward, header, paired_seconds, peak_extra_bytes, verdict

from latentwave.mixers import build_mixer

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "wavelet haar": ("wavelet", {}),
    "wavelet haar, mean": ("wavelet", {"boundary": "mean"}),
    "wavelet db4": ("wavelet", {"wavelet": "db4"}),
    "learnable, 16 taps": ("learnable_wavelet", {}),
    "learnable, 512 taps": ("learnable_wavelet", {"max_taps": 512}),
    "learnable, angles": ("learnable_wavelet", {"wavelet": "db2", "orthogonal": True}),
    "ema": ("ema", {}),
    "moving average": ("moving_average", {}),
    "short conv": ("short_conv", {}),
    "token shift": ("token_shift", {}),
}
SHORTEST = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--longest", type=int, default=131072)
    parser.add_argument("--channels", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(0)
    header("growth with T, forward + backward, batch 1")
    lengths = [SHORTEST]
    while lengths[-1] * 4 <= options.longest:
        lengths.append(lengths[-1] * 4)
    if lengths[-1] != options.longest:
        lengths.append(options.longest)
    print("ns per token at T = " + ", ".join(map(str, lengths)))
    for name, (kind, settings) in KINDS.items():
        mixer = build_mixer(kind, channels=options.channels, context_length=512, **settings)
        calls = {}
        for T in lengths:
            x = torch.randn(1, T, options.channels, requires_grad=True)
            calls[T] = forward_backward(mixer, x, weights=torch.randn_like(x))
        seconds = paired_seconds({str(T): call for T, call in calls.items()}, repeats=3)
        per_token = [seconds[str(T)] / T for T in lengths]
        first, last = (peak_extra_bytes(calls[T]) / T for T in (lengths[0], lengths[-1]))
        with torch.no_grad():
            long = torch.randn(1, lengths[-1], options.channels)
            y = mixer(long)
            error = (mixer.double()(long.double()) - y).abs().max().item()
        time_growth, memory_growth = per_token[-1] / per_token[0], last / first
        print(
            f"{name:20s} {' '.join(f'{1e9 * value:6.0f}' for value in per_token)}  "
            f"time {time_growth:.2f}x ({verdict(time_growth, 1.5, at_least=False)}), "
            f"memory {memory_growth:.2f}x ({verdict(memory_growth, 1.5, at_least=False)}), "
            f"error {error:.1e}"
        )


if __name__ == "__main__":
    main()
