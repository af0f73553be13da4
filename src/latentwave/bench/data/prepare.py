"""From a corpus to its token store, once."""

from __future__ import annotations

import platform
import time
import warnings
from pathlib import Path

import numpy as np

from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.data.known import KnownFingerprint, cache_folder, fingerprint
from latentwave.bench.data.metadata import FORMAT_VERSION, METADATA_FILE, Provenance, StoreMetadata
from latentwave.bench.data.registry import save_codec
from latentwave.bench.data.store import TokenStore, open_store
from latentwave.bench.data.writer import DOCUMENTS_FILE, TOKENS_FILE, read_tokens, write_documents
from latentwave.errors import UserError

_BUFFER = bytearray(1 << 20)


def prepare(config: CorpusConfig, folder: Path | None = None) -> TokenStore:
    """Build the token store of a corpus, or open the finished one.

    The sources are read once, in pieces; tokens, digests and counts are taken in the same pass. A
    store that is there already is opened without reading them, as long as no file has another
    size or time of change. The store gets its name only when it is complete on the disk, so an
    interrupted preparation leaves no store, and the next call starts again.

    Args:
        config: the corpus.
        folder: where the store is or shall be; by default `default_store_path(config)`.

    Returns:
        The store.

    Raises:
        UserError: if the corpus is missing, empty or unreadable; if the folder holds something
            else than the store of this corpus; if the disk refuses.

    Warns:
        UserWarning: how many files were skipped because they could not be read.
    """
    corpus = config.kind.open(config)
    known = KnownFingerprint(config, corpus)
    found = known.recall()
    if folder is not None:
        folder = folder.absolute()
        _check_place(config, folder)
    elif found is not None:
        folder = _store_path(config, found)
    if folder is None or not (folder / METADATA_FILE).exists():
        found = _write(config, corpus, folder)
    elif found is None:
        found = _read_fingerprint(config, corpus)
    known.remember(found)
    store = open_store(_store_path(config, found) if folder is None else folder)
    if store.metadata.fingerprint != found:
        raise UserError(
            f"{folder} holds the store of another corpus ({store.metadata.corpus!r}, fingerprint "
            f"{store.metadata.fingerprint[:16]}, not {found[:16]}), of changed sources or of "
            "other settings: delete it, or name another folder"
        )
    _warn_of_skipped(store.metadata)
    return store


def default_store_path(config: CorpusConfig) -> Path:
    """Where `prepare` keeps the store of a corpus when no folder is named.

    It is `stores/NAME-FINGERPRINT` under `$LATENTWAVE_HOME`, or else under `latentwave` in the
    user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`). The fingerprint covers the config, the
    format version and the content of the sources, which are read for it unless they are known.

    Raises:
        UserError: if the corpus is missing, empty or unreadable.
    """
    corpus = config.kind.open(config)
    known = KnownFingerprint(config, corpus)
    found = known.recall()
    if found is None:
        found = _read_fingerprint(config, corpus)
        known.remember(found)
    return _store_path(config, found)


def read_plainly(config: CorpusConfig) -> tuple[int, float]:
    """Read the files of a corpus and do nothing with them: what preparing can be measured by.

    Returns:
        Bytes, and the seconds that it took.
    """
    num_bytes = 0
    began = time.perf_counter()
    for path in config.kind.open(config).files.values():
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(_BUFFER):
                num_bytes += size
    return num_bytes, time.perf_counter() - began


def _read_fingerprint(config: CorpusConfig, corpus: Corpus) -> str:
    corpus.read_through()
    if not corpus.sources:
        raise UserError(f"the corpus {config.name!r} holds nothing that can be read")
    return fingerprint(config, corpus.sources)


def _store_path(config: CorpusConfig, found: str) -> Path:
    return cache_folder() / "stores" / f"{config.name}-{found[:16]}"


def _check_place(config: CorpusConfig, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the token store")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / METADATA_FILE).exists():
        raise UserError(f"{folder} holds other files, but no token store: name an empty folder")
    if config.path is not None:
        path = Path(config.path).expanduser().resolve()
        if path.is_dir() and folder.resolve().is_relative_to(path):
            raise UserError(
                f"the token store {folder} would lie among the files in {path} and be read as one "
                "of them: name a folder outside"
            )


def _write(config: CorpusConfig, corpus: Corpus, folder: Path | None) -> str:
    """Write the store, into its default place if no folder is named; returns its fingerprint."""
    # The default place depends on the content, so it is known when all is read.
    found = ""
    place = folder or cache_folder() / "stores" / config.name
    try:
        with whole_folder(
            place, final=lambda: _store_path(config, found) if folder is None else place
        ) as partial:
            found = _fill(partial, config, corpus)
    except OSError as error:
        raise UserError(
            f"cannot write the token store {place}: {error.strerror or error}"
        ) from error
    return found


def _fill(folder: Path, config: CorpusConfig, corpus: Corpus) -> str:
    written = write_documents(folder, corpus, config.kind.codec(config, corpus))
    codec = written.codec
    save_codec(codec, folder)

    def units_of(start: int, stop: int) -> dict[str, int] | None:
        return codec.units_of(read_tokens(folder / TOKENS_FILE, codec.dtype, start, stop))

    splits = written.borders.cut(
        config.validation,
        config.test,
        units_of=units_of,
        documents=None if corpus.class_names is None else np.load(folder / DOCUMENTS_FILE),
    )
    found = fingerprint(config, corpus.sources)
    StoreMetadata(
        format_version=FORMAT_VERSION,
        fingerprint=found,
        corpus=config.name,
        tokenizer=config.tokenizer_name,
        vocab_size=codec.vocab_size,
        num_tokens=written.num_tokens,
        num_documents=written.num_documents,
        dtype=codec.dtype,
        sha256=written.sha256,
        unit=codec.unit,
        splits=splits,
        class_names=corpus.class_names,
        multi_label=corpus.multi_label,
        provenance=Provenance(
            sources=list(corpus.sources),
            skipped=list(corpus.skipped),
            python_version=platform.python_version(),
        ),
    ).save(folder)
    return found


def _warn_of_skipped(metadata: StoreMetadata) -> None:
    skipped = metadata.provenance.skipped
    if skipped:
        read = {source.name for source in metadata.provenance.sources}
        num_found = len(read.union(file.name for file in skipped))
        parts = "parts of " if skipped[0].name in read else ""
        warnings.warn(
            f"skipped {parts}{len(skipped)} of {num_found} files, which cannot be read: "
            f"{'; '.join(file.reason for file in skipped[:3])}{'; …' if len(skipped) > 3 else ''}",
            stacklevel=3,
        )
