"""`latentwave generate`: a trained run goes on with a prompt, in text, sound or music."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from numpy.typing import NDArray
from rich.progress import Progress
from transformers import TextStreamer, set_seed

from latentwave.bench import data, report, training
from latentwave.bench.cli.command import ERR, OUT, Command
from latentwave.bench.cli.corpora import corpus_of_run
from latentwave.bench.data.audio import SampleCodec
from latentwave.bench.data.music import EventCodec
from latentwave.bench.training.checks import check_seeds
from latentwave.bench.training.progress import without_controls
from latentwave.errors import UserError

DEFAULT_PROMPT = "The "
DEFAULT_NEW_TOKENS = {"text": 200, "media": 1024}
DEFAULT_PROMPT_TOKENS = 256
MOST_SECONDS = 100_000


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
        help="default: 200 of text, a second of sound, 1024 of music",
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
    check_seeds("seed", [options.seed])
    model, codec = training.load_run(options.run)
    if training.is_classifier(model):
        raise UserError(f"{options.run} is a classifier: it evaluates, it does not generate")
    media = codec if isinstance(codec, data.MediaCodec) else None
    output = _output(options, media)
    new = _num_new_tokens(options, media)
    prompt, real = _prompt(options, codec, new)
    set_seed(options.seed)
    streamer = _Shown(codec.tokenizer) if output is None else None
    with Progress(console=ERR, transient=True, disable=not (media and ERR.is_terminal)) as progress:
        task = progress.add_task("tokens", total=new)
        tokens = training.continue_tokens(
            model,
            prompt,
            new,
            temperature=options.temperature,
            top_k=options.top_k,
            end_token=None if media is None else media.end_token,
            on_progress=lambda more: progress.advance(task, more),
            streamer=streamer,
        )
    if output is None:
        print(flush=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    codec.write(tokens, output)
    if media is None:
        OUT.print(f"written: {output}", soft_wrap=True)
    else:
        _tell(media, tokens, prompt, real, output)


class _Shown(TextStreamer):
    """Prints tokens as they come; control characters among them are shown, not obeyed."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        print(without_controls(text), end="", flush=True)


def _output(options: Namespace, media: data.MediaCodec | None) -> Path | None:
    """The file to write; None for text that is shown."""
    path: Path | None = options.output
    if path is not None:
        if media is not None and path.suffix == ".png":
            raise UserError(
                f"{path} would be the picture beside it: end --output in {media.suffix}"
            )
        for there in [path] + ([] if media is None else [path.with_suffix(".png")]):
            if there.exists():
                raise UserError(f"{there} exists: name another --output")
    elif media is not None:
        stem, number = options.run / f"generated-seed{options.seed}{media.suffix}", 1
        path = stem
        while path.exists() or path.with_suffix(".png").exists():
            number += 1
            path = stem.with_stem(f"{stem.stem}-{number}")
    return path


def _num_new_tokens(options: Namespace, media: data.MediaCodec | None) -> int:
    chosen: int | None = options.max_new_tokens
    rate = None if media is None else media.tokens_per_second
    if options.seconds is None:
        default = DEFAULT_NEW_TOKENS["text" if media is None else "media"]
        return (rate or default) if chosen is None else chosen
    if media is None:
        raise UserError("--seconds is for sound and music; this run reads text")
    if chosen is not None:
        raise UserError("give --seconds or --max_new_tokens, not both")
    if rate is None:
        raise UserError(
            f"how long tokens of the kind {media.kind!r} sound is known afterwards: give "
            "--max_new_tokens instead of --seconds"
        )
    if not 0 < options.seconds < MOST_SECONDS:
        bound = "> 0" if options.seconds < MOST_SECONDS else f"< {MOST_SECONDS:,}"
        raise UserError(f"seconds must be {bound}, got {options.seconds}")
    return max(1, round(float(options.seconds) * rate))


def _prompt(
    options: Namespace, codec: data.Codec, new: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What to go on with, and with what follows it in the corpus if it is from there."""
    split, wanted, text = options.prompt_split, options.prompt_tokens, options.prompt
    if not isinstance(codec, data.MediaCodec):
        return _text_prompt(options, codec), None
    if wanted is not None and wanted < 1:
        raise UserError(f"prompt_tokens must be >= 1, got {wanted}")
    if text is not None and split is not None:
        raise UserError("give --prompt or --prompt_split, not both")
    if text is not None:
        return codec.encode_prompt(text)[:wanted], None
    if split is not None:
        return _corpus_prompt(options, codec, new)
    if wanted is not None:
        raise UserError("--prompt_tokens needs --prompt or --prompt_split")
    return codec.begin(), None


def _text_prompt(options: Namespace, codec: data.Codec) -> NDArray[Any]:
    for option in ("prompt_split", "prompt_tokens"):
        if options[option] is not None:
            raise UserError(f"--{option} is for sound and music; this run reads text")
    if options.prompt is not None:
        return codec.encode_prompt(options.prompt)
    try:
        return codec.encode_prompt(DEFAULT_PROMPT)
    except UserError:  # the corpus lacks a character of it
        return np.zeros(1, dtype=np.int64)


def _corpus_prompt(
    options: Namespace, codec: data.MediaCodec, new: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    store = data.prepare(corpus_of_run(options.run))
    if not store.codec.same_tokens(codec):
        raise UserError(f"the corpus of {options.run} has other tokens now: train again")
    tokens, spans = store.split(options.prompt_split), store.spans(options.prompt_split)
    if not len(spans):
        raise UserError(f"the split {options.prompt_split!r} of {store.folder} is empty")
    wanted = options.prompt_tokens or DEFAULT_PROMPT_TOKENS
    _, start, stop = spans[options.seed % len(spans)].tolist()
    if isinstance(codec, SampleCodec):  # recordings often begin with silence
        start += max(0, stop - start - wanted - new) // 2
    real = np.array(tokens[start : min(stop, start + wanted + new)])
    return real[:wanted], real


def _tell(
    codec: data.MediaCodec,
    tokens: NDArray[Any],
    prompt: NDArray[Any],
    real: NDArray[Any] | None,
    output: Path,
) -> None:
    """Say what was written, and draw it, beside the real thing if there is one."""
    given = codec.seconds(prompt)
    OUT.print(
        f"{output}: {codec.seconds(tokens):.2f} s, the first {given:.2f} s of it the prompt",
        soft_wrap=True,
    )
    picture = output.with_suffix(".png")
    all_tokens = ({} if real is None else {"real": real}) | {"generated": tokens}
    try:
        if isinstance(codec, SampleCodec):
            sounds = {name: codec.decode(values) for name, values in all_tokens.items()}
            report.write_sounds(sounds, codec.sample_rate, picture, prompt_seconds=given)
        elif isinstance(codec, EventCodec):
            pieces = {name: codec.notes(values) for name, values in all_tokens.items()}
            report.write_piano_rolls(pieces, picture, prompt_seconds=given)
    except UserError as error:  # the sound is there, only its picture is missing
        ERR.print(f"latentwave: warning: {error}", soft_wrap=True)
    else:
        OUT.print(f"picture: {picture}", soft_wrap=True)


COMMAND = Command(
    name="generate",
    arguments="RUN",
    summary="text, sound or music from a trained run",
    add_arguments=_add_arguments,
    run=_run,
)
