"""Decoding one token: what a mixer adds to a decoder layer, at any position.

python benchmarks/bench_decoding.py --width 128 --context 512
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
from measure import header, paired_seconds, verdict
from torch import Tensor
from transformers import DynamicCache, GPT2Config, GPT2Model

from latentwave.mixers import Mixer, build_mixer

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "wavelet haar": ("wavelet", {}),
    "wavelet haar, mean": ("wavelet", {"boundary": "mean"}),
    "wavelet db4": ("wavelet", {"wavelet": "db4"}),
    "learnable, 16 taps": ("learnable_wavelet", {}),
    "learnable, 512 taps": ("learnable_wavelet", {"max_taps": 512}),
    "ema": ("ema", {}),
    "moving average": ("moving_average", {}),
    "short conv": ("short_conv", {}),
    "token shift": ("token_shift", {}),
}


def streaming_step(mixer: Mixer, prefix: Tensor) -> Callable[[], Tensor]:
    """One token behind the prefix; the state moves on by a token at each call."""
    state = mixer.new_state()
    mixer(prefix, state=state)
    token = prefix[:, -1:]
    return lambda: mixer(token, state=state)


def backbone_step(options: argparse.Namespace, position: int) -> Callable[[], object]:
    """One token through a decoder layer with a cache of keys and values."""
    config = GPT2Config(
        vocab_size=8,
        n_positions=position + 1,
        n_embd=options.width,
        n_layer=1,
        n_head=8,
        n_inner=4 * options.width,
    )
    model = GPT2Model(config)
    model.train(False)
    cache = DynamicCache(config=config)
    model(input_ids=torch.zeros(1, position, dtype=torch.int64), past_key_values=cache)
    token = torch.zeros(1, 1, dtype=torch.int64)

    def step() -> None:
        model(input_ids=token, past_key_values=cache)
        cache.crop(-1)

    return step


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    torch.manual_seed(0)
    header("decoding one token, batch 1")
    L = options.context
    backbone = paired_seconds({"layer": backbone_step(options, L)}, repeats=options.repeats)
    print(f"a decoder layer of the backbone at position {L}: {backbone['layer'] * 1e6:.0f} µs")
    x = torch.randn(1, 8 * L, options.width)
    for name, (kind, settings) in KINDS.items():
        mixer = build_mixer(kind, channels=options.width, context_length=L, **settings)
        whole = mixer(x[:, : L + 1])
        state = mixer.new_state()
        mixer(x[:, :L], state=state)
        torch.testing.assert_close(mixer(x[:, L : L + 1], state=state), whole[:, L:])
        functions: dict[str, Callable[[], object]] = {
            "early": streaming_step(mixer, x[:, :8]),
            "late": streaming_step(mixer, x),
            "naive": functools.partial(mixer, x[:, :L]),
        }
        times = paired_seconds(functions, repeats=options.repeats, at_most=10.0)
        late, growth = times["late"], times["late"] / times["early"]
        print(
            f"{name:20s} {late * 1e6:5.0f} µs, {late / backbone['layer']:4.0%} of a layer; "
            f"filtering the prefix anew {times['naive'] * 1e6:6.0f} µs: "
            f"{times['naive'] / late:.1f}x; position {8 * L} against 8: {growth:.2f}x "
            f"({verdict(growth, 1.2, at_least=False)})"
        )


if __name__ == "__main__":
    main()
