"""Greedy `model.generate()`, batch 1, with mixers beside the plain backbone."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from measure import Row, compare, main, paired
from transformers import (
    AutoModelForCausalLM,
    CompileConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
)

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
    backbones = QUICK if quick else BACKBONES
    for setting in backbones:
        # Compiled in the first setting alone: eager calls cost most where layers are small.
        for way in ("", ", compiled") if setting == next(iter(backbones)) else ("",):
            kinds = [kind for kind in TARGETS if TARGETS[kind] or not way]
            calls = {
                kind: partial(
                    some_model(kind, backbones[setting], compiled=bool(way)).generate,
                    prompt,
                    max_new_tokens=tokens,
                    min_new_tokens=tokens,
                    pad_token_id=0,
                    do_sample=False,
                )
                for kind in ("none", *kinds)
            }
            for call in calls.values() if way else ():
                call()  # and once more in `paired`: one graph for a new cache, one for a reset one
            per_second = paired(calls, unit="tokens/s", work=tokens, repeats=repeats, at_most=120.0)
            row = partial(compare, "generating", f"{setting}, {tokens} after {PROMPT_TOKENS}")
            for kind in kinds:
                speeds = per_second[kind], per_second["none"]
                target = TARGETS[kind]
                yield row(f"{kind}{way}", "tokens/s", *speeds, against="plain", at_least=target)


def some_model(kind: str, config: PreTrainedConfig, *, compiled: bool) -> Any:
    """A model with mixers of a kind; if compiled, with a cache of fixed addresses."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    if kind != "none":
        lw.attach(model, kind, context_length=512)
    if compiled:
        how = CompileConfig(fullgraph=True)
        # By default, transformers compiles on accelerators alone.
        how._compile_all_devices = True  # type: ignore[assignment]
        model.generation_config.compile_config = how
        model.generation_config.cache_implementation = "static"
    return model.train(False)


if __name__ == "__main__":
    main(rows)
