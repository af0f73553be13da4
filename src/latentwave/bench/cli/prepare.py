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

_FIELDS = data.CorpusConfig.__dataclass_fields__
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
    store = data.prepare(config, options.output)
    seconds = time.time() - started
    meta = store.metadata
    units = ", ".join(f"{number:,} {unit}s" for unit, number in meta.num_units.items())
    sizes = ", ".join(f"{name} {split.num_tokens:,}" for name, split in meta.splits.items())
    tokens = f"{meta.vocab_size} different" if meta.vocab_size else meta.dtype
    OUT.print(
        f"{meta.corpus}: {meta.num_documents:,} documents, {units}, {meta.num_tokens:,} tokens "
        f"({meta.tokenizer}, {tokens}): {sizes}",
        soft_wrap=True,
    )
    if left_out := meta.provenance.left_out:
        names = ", ".join(f"{file.name} ({file.reason})" for file in left_out[:3])
        more = f" and {len(left_out) - 3:,} more" if len(left_out) > 3 else ""
        OUT.print(f"left out: {names}{more}", soft_wrap=True)
    if store.prepared_at() < started:
        OUT.print(f"opened in {seconds:.2f} s: it was prepared before")
    else:
        OUT.print(f"prepared in {seconds:.2f} s: {_speed(store, seconds)}", soft_wrap=True)
    OUT.print(f"store: {store.folder}", soft_wrap=True)


def _speed(store: data.TokenStore, seconds: float) -> str:
    """What was done per second, in the unit that people count such a corpus by."""
    meta, per_second = store.metadata, store.codec.tokens_per_second
    parts = []
    if store.codec.decodes_to == "music":
        parts.append(f"{len(meta.provenance.sources) / seconds:,.1f} files/s")
    if store.codec.decodes_to == "text":
        parts.append(f"{meta.num_units['byte'] / _MIB / seconds:,.1f} MiB/s")
    elif per_second is not None:
        parts.append(f"{meta.num_tokens / per_second / seconds:,.0f} seconds of sound/s")
    else:
        parts.append(f"{meta.num_units[meta.unit] / seconds:,.0f} {meta.unit}s/s")
    return ", ".join(parts)


COMMAND = Command(
    name="prepare",
    arguments="CORPUS",
    summary="turn a corpus into a memory-mapped token store, once",
    add_arguments=_add_arguments,
    run=_run,
)
