"""`latentwave prepare`: a corpus to its token store."""

from __future__ import annotations

import time
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import data
from latentwave.bench.cli.command import OUT, Command
from latentwave.bench.cli.corpora import corpus_config
from latentwave.bench.cli.download import fetch_with_progress
from latentwave.bench.data.download import downloaded

_MIB = 1 << 20


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "corpus",
        type=str,
        help=f"{', '.join(data.CORPORA)}; or a file or folder, whose kind is guessed",
    )
    parser.add_argument("--output", type=Path | None, help="folder of the store (default: a cache)")
    parser.add_class_arguments(data.CorpusConfig, skip={"name"}, as_group=False)


def _run(options: Namespace, _: list[str]) -> None:
    values = options.as_dict()
    config = corpus_config(
        values.pop("corpus"),
        **{key: value for key, value in values.items() if key in _FIELDS},
    )
    name = config.kind.download
    if config.path is None and name is not None and downloaded(name) is None:
        fetch_with_progress(name)
    started = time.time()
    began = time.perf_counter()
    store = data.prepare(config, options.output)
    seconds = time.perf_counter() - began
    meta = store.metadata
    units = ", ".join(f"{number:,} {unit}s" for unit, number in meta.num_units.items())
    sizes = ", ".join(f"{name} {split.num_tokens:,}" for name, split in meta.splits.items())
    tokens = f"{meta.vocab_size} different" if meta.vocab_size else meta.dtype
    OUT.print(
        f"{meta.corpus}: {meta.num_documents:,} documents, {units}, {meta.num_tokens:,} tokens "
        f"({meta.tokenizer}, {tokens}): {sizes}",
        soft_wrap=True,
    )
    num_bytes, reading = data.read_plainly(config)
    if store.written_at() < started:
        OUT.print(f"opened in {seconds:.2f} s: it was prepared before")
    elif num_bytes:
        OUT.print(
            f"{num_bytes / _MIB:,.1f} MiB in {seconds:.2f} s: {num_bytes / _MIB / seconds:,.0f} "
            f"MiB/s; plain reading: {num_bytes / _MIB / reading:,.0f} MiB/s",
            soft_wrap=True,
        )
    OUT.print(f"store: {store.folder}", soft_wrap=True)


_FIELDS = data.CorpusConfig.__dataclass_fields__
COMMAND = Command(
    name="prepare",
    arguments="CORPUS",
    summary="turn a corpus into a memory-mapped token store, once",
    add_arguments=_add_arguments,
    run=_run,
)
