"""Prepares the token store of a corpus, or opens it if it exists."""

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

# A file that changes again within the resolution of its time stamp looks unchanged, so younger
# files are always read.
_YOUNG_SECONDS = 2.0


def prepare(config: CorpusConfig, folder: Path | None = None, *, warn: bool = True) -> TokenStore:
    """Write the token store of a corpus, or open it if it exists.

    The sources are read once, in pieces. An existing store is opened without reading them, as long
    as no file's size or modification time has changed. An interrupted preparation leaves no store.
    The default folder is `stores/NAME-FINGERPRINT` in the cache folder; the fingerprint covers the
    configuration, the format version and the content of the sources. Unless `warn` is False, a
    warning names the files that could not be read, or only in part.

    Raises:
        UserError: if the corpus is missing, empty or unreadable, if the folder holds anything but
            the store of this corpus, or if the disk fails.
    """
    corpus = config.kind.read(config)
    record = _fingerprint_record(config, corpus)
    # A corpus drawn by rules has its rules as the source.
    is_drawn = bool(corpus.sources) and not corpus.files
    fingerprint = _fingerprint(config, corpus) if is_drawn else _read_record(record)
    if folder is not None:
        folder = folder.absolute()
        _check_folder(config, folder)
    path = folder or (_default_folder(config, fingerprint) if fingerprint else None)
    if fingerprint is None or path is None or not (path / METADATA_FILE).exists():
        fingerprint = _write(config, corpus, folder)
        if record is not None:
            with contextlib.suppress(OSError):  # the sources are then read again, nothing worse
                record.parent.mkdir(parents=True, exist_ok=True)
                write_durably(record, fingerprint + "\n")
    store = open_store(folder or _default_folder(config, fingerprint))
    if store.metadata.fingerprint != fingerprint:
        raise UserError(
            f"{store.folder} holds the store of another corpus ({store.metadata.corpus!r}, "
            f"fingerprint {store.metadata.fingerprint[:16]}, not {fingerprint[:16]}), of changed "
            "sources or of other settings: delete it, or name another folder"
        )
    if warn:
        _warn_of_skipped(store.metadata)
    return store


def _default_folder(config: CorpusConfig, fingerprint: str) -> Path:
    return cache_folder() / "stores" / f"{config.name}-{fingerprint[:16]}"


def _check_folder(config: CorpusConfig, folder: Path) -> None:
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
    """Write the store, to its default folder if none is named; returns its fingerprint."""
    fingerprint = ""  # known only once all of the content has been read
    target = folder or cache_folder() / "stores" / config.name
    try:
        with whole_folder(
            target, final=lambda: folder or _default_folder(config, fingerprint)
        ) as partial:
            codec, metadata = write_documents(partial, config, corpus)
            save_codec(codec, partial)
            fingerprint = _fingerprint(config, corpus)
            dataclasses.replace(metadata, fingerprint=fingerprint).save(partial)
    except OSError as error:
        raise UserError(
            f"cannot write the token store {target}: {error.strerror or error}"
        ) from error
    return fingerprint


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


def _fingerprint_record(config: CorpusConfig, corpus: Corpus) -> Path | None:
    """The file that records the fingerprint of a corpus with this configuration and these files.

    Its name covers the files' names, paths, sizes and times; None if those cannot be trusted.
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
    # Users can set back a file's modification time, but not that of its inode.
    return max(status.st_mtime, status.st_ctime)


def _read_record(record: Path | None) -> str | None:
    if record is None or not record.is_file():
        return None
    fingerprint = record.read_text(encoding="ascii", errors="replace").strip()
    return fingerprint if len(fingerprint) == 64 else None


def _fingerprint(config: CorpusConfig, corpus: Corpus) -> str:
    """A digest of the configuration, the format, the sources and the names of skipped files."""
    return _digest(config, corpus, sources=[*map(dataclasses.asdict, corpus.sources)])


def _digest(config: CorpusConfig, corpus: Corpus, **content: object) -> str:
    # Options that are not given leave no trace, so that new ones keep old fingerprints.
    options = config.given_options()
    options.pop("path", None)
    if config.tokenizer_path is not None:  # its content matters, not its path
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
    if corpus.skipped:  # they are in the metadata, and whole files are split with them in mind
        content["skipped"] = [file.name for file in corpus.skipped]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
