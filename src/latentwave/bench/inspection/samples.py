"""What one or two models go on with, from the same prompts and the same random numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from transformers import PreTrainedModel, set_seed

from latentwave.bench.data import Codec, GridWindows
from latentwave.bench.training import continue_tokens

TEMPERATURE = 0.8
TOP_K = 40  # the likeliest tokens, which are sampled from
_NUM_PROMPTS = 3
_PROMPT_TOKENS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One prompt and what each model made of it."""

    prompt: str  # the text that was given
    seed: int  # of the sampling
    texts: list[str]  # what follows it, of each model


def choose_prompts(windows: GridWindows) -> list[Integer[np.ndarray, " _"]]:
    """A few prompts far from each other, of at most a quarter of the context.

    Where the documents of a window do not see each other a prompt is of one document, the one
    that the window holds most of.
    """
    longest = max(1, min(_PROMPT_TOKENS, windows.window_tokens // 4))
    prompts = []
    for index in np.unique(np.linspace(0, len(windows) - 1, _NUM_PROMPTS).astype(int)):
        window = windows[int(index)]
        tokens = window["input_ids"].numpy()
        if "segment_ids" in window:
            ids = window["segment_ids"].numpy()
            tokens = tokens[ids == np.bincount(ids - ids.min()).argmax() + ids.min()]
        prompts.append(tokens[:longest])
    return prompts


def generate_samples(
    models: Sequence[PreTrainedModel],
    codec: Codec,
    prompts: Sequence[Integer[np.ndarray, " _"]],
    num_new_tokens: int,
) -> list[Sample]:
    """Let models go on with the same prompts of text, prompt i with seed i."""
    samples = []
    for seed, prompt in enumerate(prompts):
        texts = []
        for model in models:
            set_seed(seed)
            tokens = continue_tokens(
                model, prompt, num_new_tokens, temperature=TEMPERATURE, top_k=TOP_K
            )
            texts.append(str(codec.tokenizer.decode(tokens[len(prompt) :].tolist())))
        text = str(codec.tokenizer.decode(np.asarray(prompt, dtype=np.int64).tolist()))
        samples.append(Sample(prompt=text, seed=seed, texts=texts))
    return samples
