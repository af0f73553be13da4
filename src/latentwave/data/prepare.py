"""From a corpus to its token store, once."""

from __future__ import annotations

import array
import dataclasses
import hashlib
import json
import os
import platform
from pathlib import Path

import numpy as np

from latentwave.data.characters import CharacterTokenizer
from latentwave.data.config import CorpusConfig
from latentwave.data.corpus import Corpus
from latentwave.data.folders import whole_folder
from latentwave.data.metadata import FORMAT_VERSION, METADATA_FILE, Provenance, StoreMetadata
from latentwave.data.python_docs import PythonDocs
from latentwave.data.store import DOCUMENTS_FILE, TOKENS_FILE, TokenStore, open_store
from latentwave.data.text_files import TextFiles
from latentwave.errors import UserError


def prepare(config: CorpusConfig, folder: Path | None = None) -> TokenStore:
    """Build the token store of a corpus, or open the finished one.

    The text is read in pieces: once for its digest and vocabulary, once more for the tokens if
    the store is not there yet. The store gets its name only when it is complete on the disk, so
    an interrupted preparation leaves no store, and the next call starts again.

    Args:
        config: the corpus.
        folder: where the store is or shall be; by default `default_store_path(config)`.

    Returns:
        The store.

    Raises:
        UserError: if the corpus is missing, empty or not text; if the folder holds something
            else than the store of this corpus; if the disk refuses.

    Warns:
        UserWarning: how many files of a folder were skipped because they are not text.
    """
    corpus = _open_corpus(config)
    fingerprint = _fingerprint(config, corpus)
    folder = _store_path(config, fingerprint) if folder is None else folder.absolute()
    _check_place(config, folder)
    if not (folder / METADATA_FILE).exists():
        try:
            with whole_folder(folder) as partial:
                _write(partial, config, corpus, fingerprint)
        except OSError as error:
            raise UserError(
                f"cannot write the token store {folder}: {error.strerror or error}"
            ) from error
    store = open_store(folder)
    if store.metadata.fingerprint != fingerprint:
        raise UserError(
            f"{folder} holds the store of another corpus ({store.metadata.corpus!r}, fingerprint "
            f"{store.metadata.fingerprint[:16]}, not {fingerprint[:16]}), of changed text or of "
            "other settings: delete it, or name another folder"
        )
    return store


def default_store_path(config: CorpusConfig) -> Path:
    """Where `prepare` keeps the store of a corpus when no folder is named.

    It is `stores/NAME-FINGERPRINT` under `$LATENTWAVE_HOME`, or else under `latentwave` in the
    user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`). The fingerprint covers the config, the
    format version and the content of the sources, so the text is read once.

    Raises:
        UserError: if the corpus is missing, empty or not text.
    """
    return _store_path(config, _fingerprint(config, _open_corpus(config)))


def _open_corpus(config: CorpusConfig) -> Corpus:
    if config.path is not None:
        return TextFiles(Path(config.path).expanduser())
    return PythonDocs()


def _fingerprint(config: CorpusConfig, corpus: Corpus) -> str:
    content = {
        "format_version": FORMAT_VERSION,
        "corpus": config.name,
        "tokenizer": config.tokenizer,
        "validation": float(config.validation),
        "test": float(config.test),
        "sources": [dataclasses.asdict(source) for source in corpus.sources],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _store_path(config: CorpusConfig, fingerprint: str) -> Path:
    home = os.environ.get("LATENTWAVE_HOME")
    if home:
        root = Path(home).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentwave"
    return root / "stores" / f"{config.name}-{fingerprint[:16]}"


def _check_place(config: CorpusConfig, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the token store")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / METADATA_FILE).exists():
        raise UserError(f"{folder} holds other files, but no token store: name an empty folder")
    if config.path is not None:
        path = Path(config.path).expanduser().resolve()
        if path.is_dir() and folder.resolve().is_relative_to(path):
            raise UserError(
                f"the token store {folder} would lie among the texts in {path} and be read as one "
                "of them: name a folder outside"
            )


def _write(folder: Path, config: CorpusConfig, corpus: Corpus, fingerprint: str) -> None:
    tokenizer = CharacterTokenizer(corpus.characters())
    tokenizer.save(folder)
    digest = hashlib.sha256()
    starts = array.array("q")
    num_tokens = num_characters = 0
    little_endian = np.dtype(tokenizer.dtype).newbyteorder("<")
    with (folder / TOKENS_FILE).open("wb") as file:
        for document in corpus.documents():
            starts.append(num_tokens)
            for piece in document:
                tokens = tokenizer.encode(piece).astype(little_endian, copy=False)
                file.write(tokens.data)
                digest.update(tokens.data)
                num_tokens += len(tokens)
                num_characters += len(piece)
    np.save(folder / DOCUMENTS_FILE, np.array(starts, dtype=np.int64))
    StoreMetadata(
        format_version=FORMAT_VERSION,
        fingerprint=fingerprint,
        corpus=config.name,
        tokenizer=config.tokenizer,
        vocab_size=len(tokenizer.vocabulary),
        num_tokens=num_tokens,
        num_documents=len(starts),
        num_characters=num_characters,
        dtype=tokenizer.dtype,
        sha256=digest.hexdigest(),
        splits=_splits(num_tokens, config),
        provenance=Provenance(
            sources=list(corpus.sources),
            num_skipped_files=corpus.num_skipped_files,
            python_version=platform.python_version(),
        ),
    ).save(folder)


def _splits(num_tokens: int, config: CorpusConfig) -> dict[str, tuple[int, int]]:
    # From the small shares: 1 − 0.05 − 0.05 is a hair below 0.9 and would miss text8's own borders.
    num_validation = round(num_tokens * config.validation)
    num_test = round(num_tokens * config.test)
    validation = num_tokens - num_test - num_validation
    test = num_tokens - num_test
    return {
        "train": (0, validation),
        "validation": (validation, test),
        "test": (test, num_tokens),
    }
