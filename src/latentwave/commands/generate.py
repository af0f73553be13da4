"""`latentwave generate`: a trained run goes on with a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from transformers import TextStreamer, set_seed

from latentwave import training
from latentwave.commands.command import Command
from latentwave.errors import UserError


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--prompt", type=str | None, help='text to continue (default: "The ")')
    parser.add_argument(
        "--max_new_tokens", type=int | None, help="default: 200, or what the context has room for"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0 takes the likeliest token"
    )
    parser.add_argument("--top_k", type=int, default=40, help="sample from the likeliest only")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")


def _run(options: Namespace, _: list[str]) -> None:
    model, tokenizer = training.load_run(options.run)
    known = set(tokenizer.get_vocab())
    if options.prompt is None:
        options.prompt = "The " if known.issuperset("The ") else min(known)
    unknown = sorted(set(options.prompt) - known)
    if unknown:
        raise UserError(f"the model has never seen {unknown[0]!r}, which the prompt contains")
    inputs = tokenizer(options.prompt, return_tensors="pt", return_token_type_ids=False)
    length, context = inputs["input_ids"].shape[1], model.config.max_position_embeddings
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
    streamer = TextStreamer(tokenizer)
    generate: Any = model.generate
    generate(**inputs, max_new_tokens=new, streamer=streamer, **sampling)


COMMAND = Command(
    name="generate",
    arguments="RUN",
    summary="stream text from a trained run",
    add_arguments=_add_arguments,
    run=_run,
)
