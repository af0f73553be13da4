"""Fixed wavelets: averages beside a depthwise convolution, and their share of a training step.

python benchmarks/bench_wavelets.py --layers 10 --width 128 --context 512 --batch 8
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import forward_backward, header, paired_seconds, peak_extra_bytes, verdict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from latentwave.mixers import WaveletMixer


def naive_averages(mixer: WaveletMixer) -> Callable[[Tensor], Tensor]:
    """The mixer as one depthwise convolution with zero-padded Haar kernels."""
    R, C, first = mixer.receptive_field, mixer.num_mixed, mixer.first_mixed
    kernels = torch.zeros(C, 1, R)
    for kernel, level in zip(kernels, mixer.levels, strict=True):
        kernel[0, -(2**level) :] = 2.0**-level

    def run(x: Tensor) -> Tensor:
        own = F.pad(x[..., first:].transpose(1, 2), (R - 1, 0))
        return torch.cat([x[..., :first], F.conv1d(own, kernels, groups=C).transpose(1, 2)], -1)

    return run


def training_step(model: nn.Module, tokens: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.manual_seed(0)
    header("fixed wavelets")

    x = torch.randn(options.batch, options.context, options.width, requires_grad=True)
    weights = torch.randn_like(x)
    mixer = WaveletMixer(options.width, options.context)
    fast = forward_backward(mixer, x, weights=weights)
    naive = forward_backward(naive_averages(mixer), x, weights=weights)
    torch.testing.assert_close(fast(), naive())
    times = paired_seconds({"fast": fast, "naive": naive}, repeats=4 * options.repeats)
    memory = {"fast": peak_extra_bytes(fast), "naive": peak_extra_bytes(naive)}
    print(
        f"one mixer, forward + backward: doubling {times['fast'] * 1e3:.2f} ms, depthwise conv1d "
        f"{times['naive'] * 1e3:.2f} ms: {times['naive'] / times['fast']:.1f}x faster, "
        f"{memory['fast'] / 2**20:.1f} against {memory['naive'] / 2**20:.1f} MiB"
    )

    config = GPT2Config(
        vocab_size=256,
        n_positions=options.context,
        n_embd=options.width,
        n_layer=options.layers,
        n_head=8,
        n_inner=4 * options.width,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    tokens = torch.randint(0, 256, (options.batch, options.context))
    steps = {}
    for name in ("plain", "wavelets"):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        model.loss_type = "ForCausalLM"
        if name == "wavelets":
            for block in model.transformer.h[:-1]:
                block.register_forward_hook(_mixing(WaveletMixer(options.width, options.context)))
        steps[name] = training_step(model, tokens)
    times = paired_seconds(steps, repeats=3 * options.repeats, at_most=60.0)
    ratio = times["wavelets"] / times["plain"]
    print(
        f"training step of {options.layers} layers: plain {times['plain'] * 1e3:.0f} ms, with "
        f"wavelets {times['wavelets'] * 1e3:.0f} ms: {ratio:.3f}x "
        f"({verdict(ratio, 1.03, at_least=False)})"
    )


def _mixing(mixer: WaveletMixer) -> Callable[..., object]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> object:
        if isinstance(output, tuple):
            return (mixer(output[0]), *output[1:])
        return mixer(output)

    return hook


if __name__ == "__main__":
    main()
