"""`latentwave prepare`: a corpus to its token store."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave import data
from latentwave.commands.command import Command
from latentwave.commands.consoles import OUT
from latentwave.commands.corpora import corpus_config


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "corpus", type=str, help='"python-docs" (ships with Python), a text file or a folder'
    )
    parser.add_argument("--output", type=Path | None, help="folder of the store (default: a cache)")


def _run(options: Namespace, _: list[str]) -> None:
    store = data.prepare(corpus_config(options.corpus), options.output)
    meta = store.metadata
    sizes = ", ".join(f"{name} {len(store.split(name)):,}" for name in meta.splits)
    OUT.print(
        f"{meta.corpus}: {meta.num_documents:,} documents, {meta.num_characters:,} characters, "
        f"{meta.num_tokens:,} tokens ({meta.tokenizer}, {meta.vocab_size} different): {sizes}",
        soft_wrap=True,
    )
    OUT.print(f"store: {store.folder}", soft_wrap=True)


COMMAND = Command(
    name="prepare",
    arguments="CORPUS",
    summary="turn a corpus into a memory-mapped token store, once",
    add_arguments=_add_arguments,
    run=_run,
)
