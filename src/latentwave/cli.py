"""The command line: prepare, train, compare, evaluate, generate, report."""

from __future__ import annotations

import json
import math
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console
from transformers import TextStreamer, set_seed
from transformers.utils import logging

from latentwave import analysis, data, report, training
from latentwave.errors import UserError

_RECIPE_COMMANDS = {
    "train": "train one contestant of a recipe with one seed",
    "compare": "train all contestants of a recipe, paired by seed, and measure the speed-ups",
}
_OUT, _ERR = Console(highlight=False), Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; default: those of the process.

    Returns:
        The exit code: 0, 2 for a mistake that one line on standard error explains, 130 when
        interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        options = _parser().parse_args(_with_recipe_option(arguments))
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            _COMMANDS[options.subcommand](options[options.subcommand], arguments)
    except ArgumentError as error:
        command = arguments[0] + " " if arguments and arguments[0] in _COMMANDS else ""
        return _fail(f"{error} (see latentwave {command}--help)")
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        _ERR.print("latentwave: interrupted; run the same command with --resume to go on")
        return 130
    return 0


def _prepare(options: Namespace, _: list[str]) -> None:
    store = data.prepare(_corpus_config(options.corpus), options.output)
    meta = store.metadata
    sizes = ", ".join(f"{name} {len(store.split(name)):,}" for name in meta.splits)
    _OUT.print(
        f"{meta.corpus}: {meta.num_documents:,} documents, {meta.num_characters:,} characters, "
        f"{meta.num_tokens:,} tokens ({meta.tokenizer}, {meta.vocab_size} different): {sizes}",
        soft_wrap=True,
    )
    _OUT.print(f"store: {store.folder}", soft_wrap=True)


def _train(options: Namespace, _: list[str]) -> None:
    recipe = _recipe(options)
    mixed = [name for name in recipe.contestants if name != training.BASELINE]
    contestant = options.contestant or next(iter(mixed or recipe.contestants))
    seed = recipe.seeds[0] if options.seed is None else options.seed
    folder = options.output or Path("runs") / f"{recipe.name}-{contestant}-seed{seed}"
    store = data.prepare(recipe.corpus)
    result = training.train(
        recipe, contestant, seed, store, folder, resume=options.resume, console=_ERR
    )
    _OUT.print(
        f"{contestant}, seed {seed}: validation loss {result.final_loss:.4f} nats per token after "
        f"{result.tokens:,} tokens in {result.seconds:,.0f} s; saved in {folder}",
        soft_wrap=True,
    )


def _compare(options: Namespace, arguments: list[str]) -> None:
    recipe = _recipe(options)
    folder = options.output or Path("runs") / recipe.name
    analysis.compare(
        recipe,
        data.prepare(recipe.corpus),
        folder,
        resume=options.resume,
        command=shlex.join(["latentwave", *arguments]),
        console=_ERR,
    )
    _show(folder)


def _report(options: Namespace, _: list[str]) -> None:
    _show(options.folder)


def _evaluate(options: Namespace, _: list[str]) -> None:
    model, _tokenizer = training.load_run(options.run)
    path = options.run / "run.json"
    if options.corpus is not None:
        config = _corpus_config(options.corpus)
    elif path.is_file():
        config = data.CorpusConfig(**json.loads(path.read_text())["corpus"]["config"])
    else:
        raise UserError(f"{options.run} does not say what it was trained on: give --corpus")
    store = data.prepare(config)
    if store.metadata.vocab_size != model.config.vocab_size:
        raise UserError(
            f"the model reads {model.config.vocab_size} different tokens, {config.name} has "
            f"{store.metadata.vocab_size}: it was trained on another corpus"
        )
    context = model.config.max_position_embeddings
    windows = data.GridWindows(store.split(options.split), context)
    loss = training.evaluate_loss(model, windows, options.batch_size)
    bits = loss / math.log(2) / store.characters_per_token
    _OUT.print(
        f"{options.split}: {loss:.4f} nats per token, {bits:.4f} bits per character, over "
        f"{len(windows) * (context - 1):,} tokens in windows of {context}",
        soft_wrap=True,
    )


def _generate(options: Namespace, _: list[str]) -> None:
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


_COMMANDS: dict[str, Callable[[Namespace, list[str]], None]] = {
    "prepare": _prepare,
    "train": _train,
    "compare": _compare,
    "evaluate": _evaluate,
    "generate": _generate,
    "report": _report,
}


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="latentwave",
        description="Signal processing inside language models.",
        exit_on_error=False,
    )
    commands = parser.add_subcommands(metavar="COMMAND")

    sub = _subparser("prepare CORPUS", "turn a corpus into a memory-mapped token store, once")
    sub.add_argument(
        "corpus", type=str, help='"python-docs" (ships with Python), a text file or a folder'
    )
    sub.add_argument("--output", type=Path | None, help="folder of the store (default: a cache)")
    commands.add_subcommand("prepare", sub, help=_summary(sub))

    for name, summary in _RECIPE_COMMANDS.items():
        sub = _subparser(
            f"{name} RECIPE",
            summary,
            "Any value of the recipe can be overridden, e.g. --training.num_steps 200.",
        )
        sub.add_argument(
            "--recipe", action="config", help="YAML file; may stand first without --recipe"
        )
        sub.add_argument("--output", type=Path | None, help="folder (default: runs/NAME…)")
        sub.add_argument("--resume", action="store_true", help="go on in a folder that exists")
        if name == "train":
            sub.add_argument(
                "--contestant", type=str | None, help="default: the first one with a mixer"
            )
            sub.add_argument("--seed", type=int | None, help="default: the recipe's first one")
        sub.add_class_arguments(training.Recipe)
        commands.add_subcommand(name, sub, help=summary)

    sub = _subparser("evaluate RUN", "loss of a trained run over a whole split")
    sub.add_argument("run", type=Path, help="folder of a run")
    sub.add_argument("--split", type=Literal["train", "validation", "test"], default="validation")
    sub.add_argument("--corpus", type=str | None, help="another corpus with the same characters")
    sub.add_argument("--batch_size", type=int, default=16)
    commands.add_subcommand("evaluate", sub, help=_summary(sub))

    sub = _subparser("generate RUN", "stream text from a trained run")
    sub.add_argument("run", type=Path, help="folder of a run")
    sub.add_argument("--prompt", type=str | None, help='text to continue (default: "The ")')
    sub.add_argument(
        "--max_new_tokens", type=int | None, help="default: 200, or what the context has room for"
    )
    sub.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest token")
    sub.add_argument("--top_k", type=int, default=40, help="sample from the likeliest only")
    sub.add_argument("--seed", type=int, default=0, help="of the sampling")
    commands.add_subcommand("generate", sub, help=_summary(sub))

    sub = _subparser("report FOLDER", "draw a comparison's figures and HTML report again")
    sub.add_argument("folder", type=Path, help="folder of a comparison")
    commands.add_subcommand("report", sub, help=_summary(sub))
    return parser


def _subparser(usage: str, summary: str, more: str = "") -> ArgumentParser:
    return ArgumentParser(
        usage=f"latentwave {usage} [options]",
        description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
        exit_on_error=False,
    )


def _summary(parser: ArgumentParser) -> str:
    description = (parser.description or "").rstrip(".")
    return description[0].lower() + description[1:]


def _with_recipe_option(arguments: list[str]) -> list[str]:
    """Let the recipe stand as `compare RECIPE`; configuration files must be options."""
    if not arguments or arguments[0] not in _RECIPE_COMMANDS:
        return arguments
    command, *rest = arguments
    if not rest:
        raise UserError(f"{command} needs a recipe, e.g. latentwave {command} recipes/demo.yaml")
    return [command, "--recipe", *rest] if rest[0][:1] != "-" else arguments


def _recipe(options: Namespace) -> training.Recipe:
    """The recipe's own part of a command's options."""
    fields = training.Recipe.__dataclass_fields__
    return training.recipe_from_dict(
        {name: value for name, value in options.as_dict().items() if name in fields}
    )


def _corpus_config(corpus: str) -> data.CorpusConfig:
    if corpus == "python-docs" and not Path(corpus).exists():
        return data.CorpusConfig(name="python-docs")
    return data.CorpusConfig(name="text", path=corpus)


def _show(path: Path) -> None:
    """Table, figures and report of a folder with results.json, or of that file."""
    results = report.load_results(path)
    folder = path if path.is_dir() else path.parent
    report.print_summary(results, _OUT)
    figures = report.write_figures(results, folder)
    page = report.write_report(results, folder)
    _OUT.print(f"figures: {', '.join(str(path) for path in figures)}", soft_wrap=True)
    _OUT.print(f"report:  {page}", soft_wrap=True)


def _warn(  # noqa: PLR0917 - the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _ERR.print(f"latentwave: warning: {message}", soft_wrap=True, markup=False)


def _fail(message: str) -> int:
    _ERR.print(f"latentwave: error: {' '.join(message.split())}", soft_wrap=True, markup=False)
    return 2
