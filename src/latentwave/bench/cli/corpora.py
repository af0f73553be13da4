"""The commands `download` and `prepare`, from published files to tokens."""

import time
from pathlib import Path
from typing import Any

from latentwave.bench import data
from latentwave.bench.cli.shared import corpus_config, say, verified
from latentwave.bench.data.download import CATALOGUE, downloaded, fetch

_MIB = 1 << 20


def download(name: str | None = None, *, mirror: str | None = None) -> None:
    """Download a published data set, check it and unpack it.

    Args:
        name: of the data set (default: list them all)
        mirror: URL of a folder with the files; tried first
    """
    if name is None:
        for each in CATALOGUE.values():
            say(f"{each.name:14} {each.about}; {each.licence}")
        return
    say(f"{name}: {fetch(name, mirror=mirror)}")
    if CATALOGUE[name].note:
        say(f"note: {CATALOGUE[name].note}")


def prepare(corpus: str, *, fields: dict[str, Any], output: Path | None = None) -> None:
    """Turn a corpus into a memory-mapped token store.

    Args:
        corpus: a file or folder, whose kind is guessed; or a name
        fields: of the corpus's configuration
        output: folder of the store (default: in the cache)
    """
    config = corpus_config(corpus, **fields)
    published = config.kind.download
    if config.path is None and published is not None and downloaded(published) is None:
        download(published)
    started = time.time()
    store = data.prepare(config, output)
    seconds = time.time() - started
    meta = verified(store).metadata
    units = ", ".join(f"{number:,} {unit}s" for unit, number in meta.num_units.items())
    sizes = ", ".join(f"{name} {split.num_tokens:,}" for name, split in meta.splits.items())
    tokens = f"{meta.vocab_size} different" if meta.vocab_size else meta.dtype
    say(
        f"{meta.corpus}: {meta.num_documents:,} documents, {units}, {meta.num_tokens:,} tokens "
        f"({meta.tokenizer}, {tokens}): {sizes}"
    )
    if left_out := meta.provenance.left_out:
        names = ", ".join(f"{file.name} ({file.reason})" for file in left_out[:3])
        more = f" and {len(left_out) - 3:,} more" if len(left_out) > 3 else ""
        say(f"left out: {names}{more}")
    if store.prepared_at() < started:
        say(f"opened in {seconds:.2f} s: it was prepared before")
    else:
        say(f"prepared in {seconds:.2f} s: {_speed(store, seconds)}")
    say(f"store: {store.folder}")


def _speed(store: data.TokenStore, seconds: float) -> str:
    """The amount prepared per second, in the usual unit of such a corpus."""
    meta, sample_rate = store.metadata, store.codec.sample_rate
    if store.codec.decodes_to == "text":
        rate = meta.num_units["byte"] / _MIB / seconds
        return f"{rate:,.1f} MiB/s" if rate >= 1 else f"{rate:.2g} MiB/s"
    if sample_rate is not None:
        return f"{meta.num_tokens / sample_rate / seconds:,.0f} seconds of sound/s"
    speed = f"{meta.num_units[meta.unit] / seconds:,.0f} {meta.unit}s/s"
    if store.codec.decodes_to == "music":
        return f"{len(meta.provenance.sources) / seconds:,.1f} files/s, {speed}"
    return speed
