"""The command `generate`: a trained run continues a prompt of text, sound or music."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from transformers import TextStreamer, set_seed

from latentwave.bench import data, report, training
from latentwave.bench.cli.shared import Split, check_at_least, check_writable, say, store_of_run
from latentwave.bench.data.audio import SampleCodec
from latentwave.bench.data.checks import check_seeds
from latentwave.bench.data.music import EventCodec
from latentwave.bench.training.progress import ERR, without_controls
from latentwave.errors import UserError

_TEXT_PROMPT, _TEXT_TOKENS = "The ", 200
_SPLIT_TOKENS, _MEDIA_TOKENS = 256, 1024
_MOST_SECONDS = 100_000


def generate(
    run: Path,
    *,
    prompt: str | None = None,
    prompt_split: Split | None = None,
    output: Path | None = None,
    max_new_tokens: int | None = None,
    seconds: float | None = None,
    temperature: float = 0.8,
    top_k: int = 40,
    seed: int = 0,
) -> None:
    """Generate text, sound or music from a trained run.

    Args:
        run: folder of a run
        prompt: text to continue (default: "The "); for sound and music, a file
        prompt_split: continue the first tokens of a document of this split, chosen by the seed; for
            sound and music
        output: file to write, prompt included (default: text is printed, sound and music go into
            the run's folder)
        max_new_tokens: default 200 of text, one second of sound, 1024 of music
        seconds: of new sound, instead of max_new_tokens
        temperature: of the sampling; 0 always takes the likeliest token
        top_k: sample from this many of the likeliest tokens
        seed: of the sampling
    """
    check_seeds("seed", [seed])
    check_at_least(1, top_k=top_k)
    if prompt is not None and prompt_split is not None:
        raise UserError("give --prompt or --prompt_split, not both")
    model, codec = training.load_run(run)
    if training.is_classifier(model):
        raise UserError(f"{run} is a classifier: it evaluates, it does not generate")
    media = codec if isinstance(codec, data.MediaCodec) else None
    real: NDArray[Any] | None = None
    if media is None:
        for name, value in {"prompt_split": prompt_split, "seconds": seconds}.items():
            if value is not None:
                raise UserError(f"--{name} is for sound and music; this run reads text")
        new = _TEXT_TOKENS if max_new_tokens is None else max_new_tokens
        given = _text_prompt(codec, prompt)
    else:
        new = _num_media_tokens(media, max_new_tokens, seconds)
        given = media.begin() if prompt is None else media.encode_prompt(prompt)
        if prompt_split is not None:
            real = _from_corpus(media, run, prompt_split, seed, _SPLIT_TOKENS + new)
            given = real[:_SPLIT_TOKENS]
            if given[-1] == media.end_token:  # a short piece is continued, as a file is
                given = given[:-1]
        output = output or run / f"generated-seed{seed}{media.suffixes[0]}"
    if output is not None:
        _check_output(output, media)
    set_seed(seed)
    with Progress(console=ERR, transient=True, disable=not (media and ERR.is_terminal)) as progress:
        task = progress.add_task("tokens", total=new)
        tokens = training.continue_tokens(
            model,
            given,
            new,
            temperature=temperature,
            top_k=top_k,
            end_token=None if media is None else media.end_token,
            on_progress=lambda more: progress.advance(task, more),
            streamer=_Printer(codec.tokenizer) if output is None else None,
        )
    if output is None:
        print(flush=True)
        return
    codec.write(tokens, output)
    if media is None:
        say(f"written: {output}")
    else:
        _draw(media, tokens, media.seconds(given), real, output)


class _Printer(TextStreamer):
    """Prints tokens as they come, with control characters made visible."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        print(without_controls(text), end="", flush=True)


def _text_prompt(codec: data.Codec, prompt: str | None) -> NDArray[Any]:
    if prompt is not None:
        return codec.encode_prompt(prompt)
    try:
        return codec.encode_prompt(_TEXT_PROMPT)
    except UserError:  # one of its characters is not in the vocabulary
        return np.zeros(1, dtype=np.int64)


def _check_output(output: Path, media: data.MediaCodec | None) -> None:
    """Refuse a file that exists, like its picture, has the wrong suffix or cannot be written."""
    if media is not None and output.suffix.lower() not in media.suffixes:
        suffixes = " or ".join(media.suffixes)
        raise UserError(f"{output} cannot hold {media.decodes_to}: end --output in {suffixes}")
    for path in [output] if media is None else [output, output.with_suffix(".png")]:
        if path.exists():
            raise UserError(f"{path} exists: name another --output or --seed")
    check_writable(output)


def _num_media_tokens(
    codec: data.MediaCodec, max_new_tokens: int | None, seconds: float | None
) -> int:
    rate = codec.sample_rate
    if seconds is None:
        return (rate or _MEDIA_TOKENS) if max_new_tokens is None else max_new_tokens
    if max_new_tokens is not None:
        raise UserError("give --seconds or --max_new_tokens, not both")
    if rate is None:
        raise UserError(
            f"how long tokens of the kind {codec.kind!r} sound is only known afterwards: give "
            "--max_new_tokens instead of --seconds"
        )
    if not 0 < seconds < _MOST_SECONDS:
        raise UserError(f"seconds must be > 0 and < {_MOST_SECONDS:,}, got {seconds}")
    return max(1, round(seconds * rate))


def _from_corpus(
    codec: data.MediaCodec, run: Path, split: Split, seed: int, num_tokens: int
) -> NDArray[Any]:
    """The beginning of a document of the run's corpus, or the middle of a recording."""
    store = store_of_run(run, codec)
    spans = store.spans(split)
    if not len(spans):
        raise UserError(f"the split {split!r} of {store.folder} is empty")
    _, start, stop = spans[seed % len(spans)].tolist()
    if isinstance(codec, SampleCodec):  # recordings often begin with silence
        start += max(0, stop - start - num_tokens) // 2
    return np.array(store.split(split)[start : min(stop, start + num_tokens)])


def _draw(
    codec: data.MediaCodec,
    tokens: NDArray[Any],
    prompt_seconds: float,
    real: NDArray[Any] | None,
    path: Path,
) -> None:
    """Say what was written, and draw it below the real continuation, if there is one."""
    say(f"{path}: {codec.seconds(tokens):.2f} s, the first {prompt_seconds:.2f} s of it the prompt")
    all_tokens = ({} if real is None else {"real": real}) | {"generated": tokens}
    charts = []
    if isinstance(codec, SampleCodec):
        sounds = {name: codec.decode(values) for name, values in all_tokens.items()}
        charts = report.sound_charts(sounds, codec.sample_rate, prompt_seconds)
    elif isinstance(codec, EventCodec):
        pieces = {name: codec.notes(values) for name, values in all_tokens.items()}
        charts = report.piano_roll_charts(pieces, prompt_seconds)
    say(f"picture: {report.write_charts(charts, path.with_suffix('.png'))}")
