"""Generating with `model.generate()`: a backbone with mixers beside the plain one.

python benchmarks/bench_generate.py --tokens 100
"""

from __future__ import annotations

import argparse
import functools

import torch
from measure import header, paired_seconds, verdict
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

import latentwave as lw

KINDS = ("best", "wavelet", "filterbank", "adaptive_filterbank")
PROMPT_TOKENS = 64


def published() -> PreTrainedModel:
    """The papers' decoder: 10 layers, D = 128."""
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=27, n_positions=512, n_embd=128, n_layer=10, n_head=8, n_inner=512)
    )


def gpt2_small() -> PreTrainedModel:
    """124 million parameters."""
    return GPT2LMHeadModel(GPT2Config())


def smollm2_135m() -> PreTrainedModel:
    """135 million parameters: rotary positions, grouped queries, SwiGLU."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
        )
    )


def generate(model: PreTrainedModel, prompt: Tensor, tokens: int) -> Tensor:
    ids: Tensor = model.generate(  # type: ignore[operator]
        prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    header(f"generating {options.tokens} tokens behind {PROMPT_TOKENS}, greedy, batch 1")
    for build in (published, gpt2_small, smollm2_135m):
        models: dict[str, PreTrainedModel] = {}
        for kind in ("none", *KINDS):
            torch.manual_seed(0)
            model = build()
            models[kind] = model if kind == "none" else lw.attach(model, kind, context_length=512)
            model.train(False)
        prompt = torch.randint(0, 27, (1, PROMPT_TOKENS))
        seconds = paired_seconds(
            {
                kind: functools.partial(generate, model, prompt, options.tokens)
                for kind, model in models.items()
            },
            repeats=options.repeats,
            at_most=120.0,
        )
        print(f"{build.__name__}: plain {options.tokens / seconds['none']:.1f} tokens/s")
        for kind in KINDS:
            ratio = seconds["none"] / seconds[kind]
            goal = f" ({verdict(ratio, 0.9, at_least=True)})" if kind == "wavelet" else ""
            print(
                f"  {kind:20s} {options.tokens / seconds[kind]:6.1f} tokens/s, "
                f"{ratio:.2f} of the plain backbone's{goal}"
            )


if __name__ == "__main__":
    main()
