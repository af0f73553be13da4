"""Generates text from a prompt, also beyond the model's context length."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from transformers import PreTrainedModel, TextStreamer

from latentwave.errors import UserError


@torch.no_grad()
def continue_tokens(
    model: PreTrainedModel,
    prompt: NDArray[Any],
    num_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    end_token: int | None = None,
    on_progress: Callable[[int], object] | None = None,
    streamer: TextStreamer | None = None,
) -> Int64[np.ndarray, " T"]:
    """Sample the tokens that follow a prompt.

    When `max_position_embeddings` tokens are full, generation goes on from their later half, so
    every token is predicted from at least half a context, or from all that there is. A temperature
    of 0 takes the likeliest token; `top_k` samples from that many of the likeliest. `on_progress`
    gets the number of new tokens after each part; the streamer shows prompt and text as they come.

    Returns:
        Prompt and new tokens, (at most T + num_new_tokens,); fewer if the end token comes.

    Raises:
        UserError: for an empty prompt or values out of range.
    """
    if not len(prompt):
        raise UserError("the prompt is empty")
    if num_new_tokens < 1:
        raise UserError(f"the number of new tokens must be >= 1, got {num_new_tokens}")
    if not 0 <= temperature < math.inf:
        raise UserError(f"temperature must be >= 0, got {temperature}")
    context = model.config.max_position_embeddings
    sampling: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_k": top_k or 0}
    generate: Any = model.generate
    tokens = torch.from_numpy(np.asarray(prompt, dtype=np.int64))
    end = len(tokens) + num_new_tokens
    while len(tokens) < end:
        half = context - context // 2
        history = tokens if len(tokens) < context else tokens[-half:]
        inputs = history[None].to(model.device)
        output = generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=min(end - len(tokens), context - len(history)),
            eos_token_id=end_token,
            pad_token_id=0,
            use_cache=True,
            streamer=streamer,
            **sampling,
        )
        if streamer is not None:
            streamer.skip_prompt = True  # it has been shown
        new = output[0, len(history) :].cpu()
        tokens = torch.cat([tokens, new])
        if on_progress is not None:
            on_progress(len(new))
        if end_token is not None and new[-1] == end_token:
            break
    return tokens.numpy()
