"""Generating with `model.generate()`, greedy, batch 1: with mixers beside the plain backbone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from measure import Row, compare, main, paired
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

import latentwave as lw

TARGETS = {"best": 0.9, "wavelet": 0.9, "filterbank": None, "adaptive_filterbank": None}
PROMPT_TOKENS = 64
BACKBONES: dict[str, PreTrainedConfig] = {
    "papers' size: 10 layers, D 128": GPT2Config(
        vocab_size=27, n_positions=512, n_embd=128, n_layer=10, n_head=8, n_inner=512
    ),
    "GPT-2 small: 12 layers, D 768": GPT2Config(),
    "SmolLM2-135M: 30 layers, D 576": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    ),
}
QUICK = {"tiny": GPT2Config(vocab_size=27, n_embd=16, n_layer=2, n_head=2)}


def rows(quick: bool) -> Iterator[Row]:
    tokens, repeats = (4, 3) if quick else (100, 9)
    prompt = torch.randint(0, 27, (1, PROMPT_TOKENS))
    lengths = {"max_new_tokens": tokens, "min_new_tokens": tokens, "pad_token_id": 0}
    for setting, config in (QUICK if quick else BACKBONES).items():
        calls: dict[str, Any] = {}
        for kind in ("none", *TARGETS):
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
            if kind != "none":
                lw.attach(model, kind, context_length=512)
            model.train(False)
            calls[kind] = partial(model.generate, prompt, do_sample=False, **lengths)
        per_second = paired(calls, unit="tokens/s", work=tokens, repeats=repeats, at_most=120.0)
        row = partial(compare, "generating", f"{setting}, {tokens} after {PROMPT_TOKENS}")
        for kind, target in TARGETS.items():
            speeds = per_second[kind], per_second["none"]
            yield row(kind, "tokens/s", *speeds, against="plain", at_least=target)


if __name__ == "__main__":
    main(rows)
