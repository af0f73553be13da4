"""What one or two models go on with, from the same prompts and the same random numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from transformers import PreTrainedModel, set_seed

from latentwave.bench.data import Codec, GridWindows
from latentwave.bench.training import continue_tokens

_NUM_PROMPTS = 3
_PROMPT_TOKENS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One prompt and what each model made of it.

    Attributes:
        prompt: the text that was given.
        seed: of the sampling.
        temperature: of the sampling; 0 took the likeliest token.
        top_k: how many of the likeliest tokens were sampled from; None: from all.
        texts: what follows it, of each model.
    """

    prompt: str
    seed: int
    temperature: float
    top_k: int | None
    texts: list[str]


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
    *,
    num_new_tokens: int = 200,
    temperature: float = 0.8,
    top_k: int | None = 40,
) -> list[Sample]:
    """Let models go on with the same prompts, prompt i with seed i.

    Args:
        models: with the same tokens.
        codec: what they mean; text.
        prompts: tokens.
        num_new_tokens: of each.
        temperature: of the sampling; 0 takes the likeliest token.
        top_k: sample from the likeliest only; None: from all.

    Raises:
        UserError: for tokens that are not text.
    """
    tokenizer = codec.tokenizer
    samples = []
    for seed, prompt in enumerate(prompts):
        texts = []
        for model in models:
            set_seed(seed)
            tokens = continue_tokens(
                model, prompt, num_new_tokens, temperature=temperature, top_k=top_k
            )
            texts.append(str(tokenizer.decode(tokens[len(prompt) :].tolist())))
        text = str(tokenizer.decode(np.asarray(prompt, dtype=np.int64).tolist()))
        samples.append(
            Sample(prompt=text, seed=seed, temperature=temperature, top_k=top_k, texts=texts)
        )
    return samples
