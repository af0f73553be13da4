"""From a corpus to its token store, once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
import warnings
from pathlib import Path

from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpora import save_codec
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.folders import cache_folder, whole_folder, write_durably
from latentwave.bench.data.metadata import FORMAT_VERSION, METADATA_FILE, StoreMetadata, sha256_of
from latentwave.bench.data.store import TokenStore, open_store
from latentwave.bench.data.text.characters import tokenizer_file
from latentwave.bench.data.writer import write_documents
from latentwave.errors import UserError

# A file that changes within the resolution of its time stamp looks the same: younger ones are
# read again.
_YOUNG_SECONDS = 2.0


def prepare(config: CorpusConfig, folder: Path | None = None, *, warn: bool = True) -> TokenStore:
    """Build the token store of a corpus, or open the finished one.

    The sources are read in pieces, once. A store that is there already is opened without reading
    them, as long as no file has another size or time of change. An interrupted preparation leaves
    no store. The default folder is `stores/NAME-FINGERPRINT` in the cache folder; the fingerprint
    covers the configuration, the format version and the content of the sources. A warning names
    the files that could not be read, or not as a whole, unless `warn` is False.

    Raises:
        UserError: if the corpus is missing, empty or unreadable; if the folder holds something
            else than the store of this corpus; if the disk refuses.
    """
    corpus = config.kind.read(config)
    memory = _fingerprint_memory(config, corpus)
    # Of what is drawn by rules, these are the source.
    is_drawn = bool(corpus.sources) and not corpus.files
    found = _fingerprint(config, corpus) if is_drawn else _recall(memory)
    if folder is not None:
        folder = folder.absolute()
        _check_place(config, folder)
    place = _store_path(config, found) if folder is None and found else folder
    if found is None or place is None or not (place / METADATA_FILE).exists():
        found = _write(config, corpus, folder)
        if memory is not None:
            with contextlib.suppress(OSError):  # which costs the time of reading again, no more
                memory.parent.mkdir(parents=True, exist_ok=True)
                write_durably(memory, found + "\n")
    store = open_store(folder or _store_path(config, found))
    if store.metadata.fingerprint != found:
        raise UserError(
            f"{store.folder} holds the store of another corpus ({store.metadata.corpus!r}, "
            f"fingerprint {store.metadata.fingerprint[:16]}, not {found[:16]}), of changed sources "
            "or of other settings: delete it, or name another folder"
        )
    if warn:
        _warn_of_skipped(store.metadata)
    return store


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
            codec, metadata = write_documents(partial, config, corpus)
            save_codec(codec, partial)
            found = _fingerprint(config, corpus)
            dataclasses.replace(metadata, fingerprint=found).save(partial)
    except OSError as error:
        raise UserError(
            f"cannot write the token store {place}: {error.strerror or error}"
        ) from error
    return found


def _warn_of_skipped(metadata: StoreMetadata) -> None:
    read = {source.name for source in metadata.provenance.sources}
    skipped = metadata.provenance.skipped
    num_found = len(read.union(file.name for file in skipped))
    for start, files in (
        ("skipped", [file for file in skipped if file.name not in read]),
        ("skipped parts of", [file for file in skipped if file.name in read]),
    ):
        if files:
            first = "; ".join(file.reason for file in files[:3]) + "; …" * (len(files) > 3)
            warnings.warn(f"{start} {len(files)} of {num_found} files: {first}", stacklevel=3)


def _fingerprint_memory(config: CorpusConfig, corpus: Corpus) -> Path | None:
    """The file with the fingerprint of a corpus that has this configuration and these files.

    It is called after their names, places, sizes and times of change; None where these do not tell.
    """
    signature, youngest = [], 0.0
    for name, path in corpus.files.items():
        status = path.stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        signature.append([name, str(path.absolute()), status.st_size, *times])
        youngest = max(youngest, _changed_at(status))
    if not signature or time.time() - youngest <= _YOUNG_SECONDS:
        return None
    return cache_folder() / "fingerprints" / _digest(config, corpus, files=signature)[:32]


def _changed_at(status: os.stat_result) -> float:
    # The time of the inode's change cannot be set back by hand.
    return max(status.st_mtime, status.st_ctime)


def _recall(memory: Path | None) -> str | None:
    if memory is None or not memory.is_file():
        return None
    found = memory.read_text(encoding="ascii", errors="replace").strip()
    return found if len(found) == 64 else None


def _fingerprint(config: CorpusConfig, corpus: Corpus) -> str:
    """What tells stores apart: configuration, format, content of the sources, what was skipped."""
    return _digest(config, corpus, sources=[*map(dataclasses.asdict, corpus.sources)])


def _digest(config: CorpusConfig, corpus: Corpus, **content: object) -> str:
    """Of everything that shapes the tokens; options that are not given leave no trace."""
    options = config.given_options()
    options.pop("path", None)
    if config.tokenizer_path is not None:  # its content counts, not its place
        file = tokenizer_file(Path(config.tokenizer_path).expanduser())
        options["tokenizer_path"] = sha256_of(file)
    content |= {
        "format_version": FORMAT_VERSION,
        "corpus": config.name,
        "tokenizer": config.tokenizer_name,
        "validation": float(config.validation),
        "test": float(config.test),
        "options": options,
    }
    if corpus.skipped:  # a store says what it lacks; whole files are dealt with these in mind
        content["skipped"] = [file.name for file in corpus.skipped]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
