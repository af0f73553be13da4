"""`latentwave generate`: a trained run goes on with a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from numpy.typing import NDArray
from transformers import TextStreamer, set_seed

from latentwave.bench import training
from latentwave.bench.cli.command import Command
from latentwave.bench.cli.consoles import OUT
from latentwave.bench.cli.sound import generate_sound
from latentwave.bench.data import Codec, MediaCodec
from latentwave.errors import UserError

DEFAULT_PROMPT = "The "


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument(
        "--prompt",
        type=str | None,
        help=f'what to go on with (default: "{DEFAULT_PROMPT}"); for sound and music a file',
    )
    parser.add_argument(
        "--prompt_split",
        type=Literal["train", "validation", "test"] | None,
        help="go on with sound or music of this split of the run's corpus, chosen by the seed",
    )
    parser.add_argument(
        "--prompt_tokens",
        type=int | None,
        help="how many tokens of the file or split to go on with (default: all, or 256)",
    )
    parser.add_argument(
        "--output",
        type=Path | None,
        help="file to write, prompt included; text is shown without one, sound and music go into "
        "the run's folder",
    )
    parser.add_argument(
        "--max_new_tokens",
        type=int | None,
        help="default: 200, or what the context has room for; a second of sound, 1024 of music",
    )
    parser.add_argument("--seconds", type=float | None, help="of new sound")
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0 takes the likeliest token"
    )
    parser.add_argument(
        "--top_k", type=PositiveInt, default=40, help="sample from the likeliest only"
    )
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the sampling")


def _run(options: Namespace, _: list[str]) -> None:
    model, codec = training.load_run(options.run)
    if training.is_classifier(model):
        raise UserError(f"{options.run} is a classifier: it evaluates, it does not generate")
    if isinstance(codec, MediaCodec):
        generate_sound(options, model, codec)
        return
    for option in ("prompt_split", "prompt_tokens", "seconds"):
        if options[option] is not None:
            raise UserError(f"--{option} is for sound and music; this run reads text")
    if options.output is not None and options.output.exists():
        raise UserError(f"{options.output} exists: name another --output")
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    prompt = _encode(codec, options.prompt)
    length, context = len(prompt), model.config.max_position_embeddings
    if length == 0:
        raise UserError("the prompt is empty: give at least one character")
    room = context - length
    new = min(200, room) if options.max_new_tokens is None else options.max_new_tokens
    if not 1 <= new <= room:
        raise UserError(
            f"a prompt of {length} tokens leaves room for 1 to {room} new ones in the model's "
            f"context of {context}, got {new}"
        )
    if options.temperature < 0:
        raise UserError(f"temperature must be >= 0, got {options.temperature}")
    set_seed(options.seed)
    sampling: dict[str, Any] = {"do_sample": False}
    if options.temperature > 0:
        sampling = {
            "do_sample": True,
            "temperature": options.temperature,
            "top_k": options.top_k,
        }
    streamer = TextStreamer(codec.tokenizer) if options.output is None else None
    generate: Any = model.generate
    input_ids = torch.from_numpy(prompt.astype(np.int64))[None].to(model.device)
    tokens = generate(
        input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=new,
        streamer=streamer,
        **sampling,
    )
    if options.output is not None:
        codec.write(tokens[0].cpu().numpy(), options.output)
        OUT.print(f"written: {options.output}", soft_wrap=True)


def _encode(codec: Codec, prompt: str | None) -> NDArray[Any]:
    if prompt is not None:
        return codec.encode_prompt(prompt)
    try:
        return codec.encode_prompt(DEFAULT_PROMPT)
    except UserError:  # a character that the corpus does not have
        return np.zeros(1, dtype=np.int64)


COMMAND = Command(
    name="generate",
    arguments="RUN",
    summary="text, sound or music from a trained run",
    add_arguments=_add_arguments,
    run=_run,
)
