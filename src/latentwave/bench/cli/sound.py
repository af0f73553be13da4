"""Generating sound and music into files, with a picture beside the real thing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace
from numpy.typing import NDArray
from rich.progress import Progress
from transformers import PreTrainedModel, set_seed

from latentwave.bench import data, report, training
from latentwave.bench.cli.consoles import ERR, OUT
from latentwave.bench.cli.corpora import corpus_of_run
from latentwave.bench.data.audio import SampleCodec
from latentwave.bench.data.music import EventCodec
from latentwave.errors import UserError

DEFAULT_NEW_TOKENS = 1024


@dataclasses.dataclass(frozen=True)
class _Prompt:
    tokens: NDArray[Any]
    real: NDArray[Any] | None = None
    """The prompt and what follows it in the corpus."""


def generate_sound(options: Namespace, model: PreTrainedModel, codec: data.MediaCodec) -> None:
    """Go on with a prompt, write the file and its picture, and say where.

    Raises:
        UserError: for options that do not fit, and files that exist.
    """
    output = _free_path(options, codec.suffix)
    new = _num_new_tokens(options, codec)
    prompt = _find_prompt(options, codec, new)
    set_seed(options.seed)
    with Progress(console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("tokens", total=new)
        tokens = training.continue_tokens(
            model,
            prompt.tokens,
            new,
            temperature=options.temperature,
            top_k=options.top_k,
            end_token=codec.end_token,
            on_progress=lambda more: progress.advance(task, more),
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    codec.write(tokens, output)
    given = codec.seconds(prompt.tokens)
    OUT.print(
        f"{output}: {codec.seconds(tokens):.2f} s, the first {given:.2f} s of it the prompt",
        soft_wrap=True,
    )
    picture = output.with_suffix(".png")
    try:
        _draw(codec, tokens, prompt, picture, given)
    except UserError as error:  # the sound is there, only its picture lacks
        ERR.print(f"latentwave: warning: {error}", soft_wrap=True)
    else:
        OUT.print(f"picture: {picture}", soft_wrap=True)


def _draw(
    codec: data.MediaCodec, tokens: NDArray[Any], prompt: _Prompt, path: Path, given: float
) -> None:
    all_tokens = {} if prompt.real is None else {"real": prompt.real}
    all_tokens["generated"] = tokens
    if isinstance(codec, SampleCodec):
        sounds = {name: codec.decode(values) for name, values in all_tokens.items()}
        report.write_sounds(sounds, codec.sample_rate, path, prompt_seconds=given)
    elif isinstance(codec, EventCodec):
        pieces = {name: codec.notes(values) for name, values in all_tokens.items()}
        report.write_piano_rolls(pieces, path, prompt_seconds=given)


def _free_path(options: Namespace, suffix: str) -> Path:
    if options.output is not None:
        path: Path = options.output
        if path.suffix == ".png":
            raise UserError(f"{path} would be the picture beside it: end --output in {suffix}")
        for there in (path, path.with_suffix(".png")):
            if there.exists():
                raise UserError(f"{there} exists: name another --output")
        return path
    stem, number = f"generated-seed{options.seed}", 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        path = options.run / f"{name}{suffix}"
        if not path.exists() and not path.with_suffix(".png").exists():
            return path
        number += 1


def _num_new_tokens(options: Namespace, codec: data.MediaCodec) -> int:
    if options.seconds is None:
        default = codec.tokens_per_second or DEFAULT_NEW_TOKENS
        chosen: int | None = options.max_new_tokens
        return default if chosen is None else chosen
    if options.max_new_tokens is not None:
        raise UserError("give --seconds or --max_new_tokens, not both")
    if codec.tokens_per_second is None:
        raise UserError(
            f"how long tokens of the kind {codec.kind!r} sound is known afterwards: give "
            "--max_new_tokens instead of --seconds"
        )
    if not options.seconds > 0:
        raise UserError(f"seconds must be > 0, got {options.seconds}")
    seconds: float = options.seconds
    return max(1, round(seconds * codec.tokens_per_second))


def _find_prompt(options: Namespace, codec: data.MediaCodec, new: int) -> _Prompt:
    wanted = options.prompt_tokens
    if wanted is not None and wanted < 1:
        raise UserError(f"prompt_tokens must be >= 1, got {wanted}")
    if options.prompt is not None:
        if options.prompt_split is not None:
            raise UserError("give --prompt or --prompt_split, not both")
        return _Prompt(codec.encode_prompt(options.prompt)[:wanted])
    if options.prompt_split is None:
        if wanted is not None:
            raise UserError("--prompt_tokens needs --prompt or --prompt_split")
        return _Prompt(codec.begin())
    store = data.prepare(corpus_of_run(options.run))
    if not store.codec.same_tokens(codec):
        raise UserError(f"the corpus of {options.run} has other tokens now: train again")
    tokens, spans = store.split(options.prompt_split), store.spans(options.prompt_split)
    if not len(spans):
        raise UserError(f"the split {options.prompt_split!r} of {store.folder} is empty")
    wanted = 256 if wanted is None else wanted
    _, start, stop = spans[options.seed % len(spans)].tolist()
    if isinstance(codec, SampleCodec):  # recordings often begin with silence
        start += max(0, stop - start - wanted - new) // 2
    stop = min(stop, start + wanted + new)
    return _Prompt(
        np.array(tokens[start : min(stop, start + wanted)]), np.array(tokens[start:stop])
    )
