"""Helpers of the commands: printing, bounds, and the corpus that a run or a name stands for."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from latentwave.bench import data, training
from latentwave.bench.training.progress import ERR, PlainConsole
from latentwave.errors import UserError

OUT = PlainConsole()  # for results
Split = Literal["train", "validation", "test"]


def say(text: str) -> None:
    """Print a line of results, left to the terminal to wrap."""
    OUT.print(text, soft_wrap=True)


def tell(text: str) -> None:
    """Print a line of progress."""
    ERR.print(text, soft_wrap=True)


def check_at_least(least: int, **values: int | None) -> None:
    """Refuse options that are too small; None is an option that was not given."""
    for name, value in values.items():
        if value is not None and value < least:
            raise UserError(f"{name} must be >= {least}, got {value}")


def corpus_config(corpus: str, **options: Any) -> data.CorpusConfig:
    """The corpus that a file, a folder or a name stands for, with the options that are not None.

    If both a path and a name exist, the path wins, unless the options have a path of their own.
    """
    given = {name: value for name, value in options.items() if value is not None}
    path = Path(corpus).expanduser()
    is_named = "path" in given and corpus in data.CORPORA
    if path.exists() and not is_named:
        if "path" in given:
            raise UserError(f"{corpus} is a path already: leave --path out")
        return data.CorpusConfig(name=data.guess_corpus(path), path=corpus, **given)
    if corpus in data.CORPORA:
        return data.CorpusConfig(name=corpus, **given)
    raise UserError(
        f"there is no file or folder {corpus}, and no corpus of that name; known are: "
        f"{', '.join(data.CORPORA)}"
    )


def in_tokens_of(run: Path, codec: data.Codec, config: data.CorpusConfig) -> data.CorpusConfig:
    """The same corpus in the tokens that a run was trained on, if it has such tokens."""
    has_fixed_tokens = codec.kind == "bytes" or codec.decodes_to != "text"
    if has_fixed_tokens and codec.kind in config.kind.tokenizers:
        return dataclasses.replace(config, tokenizer=codec.kind, sample_rate=codec.sample_rate)
    folder = training.model_folder(run)
    if (folder / "tokenizer.json").is_file() and "pretrained" in config.kind.tokenizers:
        return dataclasses.replace(
            config, tokenizer="pretrained", tokenizer_path=str(folder), vocab_size=None
        )
    return config


def check_writable(path: Path) -> None:
    """Raise an OSError if a file cannot be written, before the work for it; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    path.open("ab").close()
    if new:
        path.unlink()


def verified(store: data.TokenStore) -> data.TokenStore:
    """The store, after checking that its tokens are unchanged; once a command, not in workers."""
    training.on_main(store.verify)
    return store


def store_of_run(folder: Path, codec: data.Codec) -> data.TokenStore:
    """The corpus that a run was trained on; a UserError if its tokens or splits have changed."""
    record = training.read_record(folder)
    if not record:
        raise UserError(
            f"{folder} does not say what it was trained on: it has no run.json. Name the folder of "
            "one run, as written by train, compare and ladder"
        )
    try:
        config = data.CorpusConfig(**record["corpus"]["config"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder}/run.json does not say which corpus: {error}") from error
    path = Path(config.path or ".").expanduser()
    if not path.exists():
        remedy = "put it back" if path.is_absolute() else "run the command where it was trained"
        raise UserError(f"{folder} was trained on {path}, which is not there: {remedy}")
    store = verified(data.prepare(config))
    known, found = record["corpus"].get("sha256"), store.metadata.sha256
    if found != known:
        raise UserError(
            f"the corpus of {folder} has changed since training (sha256 {known} then, {found} "
            "now), and its splits with it: restore it, or train again"
        )
    if not store.codec.same_tokens(codec):
        raise UserError(f"the corpus of {folder} has other tokens now: train again")
    return store


def keeps_documents_apart(folder: Path) -> bool:
    """Whether a run was trained with its documents kept apart."""
    return bool(training.read_record(folder).get("training", {}).get("separate_documents", False))
