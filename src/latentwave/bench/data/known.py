"""Fingerprints of corpora, remembered so that unchanged sources need not be read for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import time
from pathlib import Path

from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.metadata import FORMAT_VERSION, Source
from latentwave.errors import UserError

# A file that changes within the resolution of its time stamp looks the same: younger ones are
# read again.
_YOUNG_SECONDS = 2.0


def cache_folder() -> Path:
    """`$LATENTWAVE_HOME`, or else `latentwave` in the user's cache folder."""
    home = os.environ.get("LATENTWAVE_HOME")
    if home:
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentwave"


def fingerprint(config: CorpusConfig, sources: list[Source]) -> str:
    """What tells one store from another: configuration, format and content of the sources."""
    content = _settings(config) | {"sources": [dataclasses.asdict(source) for source in sources]}
    return _digest(content)


class KnownFingerprint:
    """The fingerprint of a corpus as it was when its sources were last read.

    It is kept in the cache folder under a digest of the configuration and of the name, place,
    size and time of change of every source file.

    Args:
        config: of the corpus.
        corpus: opened, not read.
    """

    def __init__(self, config: CorpusConfig, corpus: Corpus) -> None:
        self._path: Path | None = None
        signature, youngest = [], 0.0
        for name, path in corpus.files.items():
            status = path.stat()
            times = (status.st_mtime_ns, status.st_ctime_ns)
            signature.append([name, str(path.absolute()), status.st_size, *times])
            youngest = max(youngest, _changed(status))
        if signature and time.time() - youngest > _YOUNG_SECONDS:
            key = _digest(_settings(config) | {"files": signature})
            self._path = cache_folder() / "known" / key[:32]

    def recall(self) -> str | None:
        """The fingerprint; None if the sources must be read for it."""
        if self._path is None:
            return None
        try:
            found = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return found if len(found) == 64 else None

    def remember(self, found: str) -> None:
        """Keep the fingerprint for next time; a disk that refuses costs that time only."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
            partial.write_text(found + "\n", encoding="ascii")
            partial.replace(self._path)
        except OSError:
            return


def _changed(status: os.stat_result) -> float:
    # The time of the inode's change cannot be set back by hand.
    return max(status.st_mtime, status.st_ctime)


def _settings(config: CorpusConfig) -> dict[str, object]:
    """Everything that shapes the tokens; options that are not given leave no trace."""
    options = config.given_options()
    options.pop("path", None)
    if config.tokenizer_path is not None:  # its content counts, not its place
        options["tokenizer_path"] = _tokenizer_digest(Path(config.tokenizer_path).expanduser())
    return {
        "format_version": FORMAT_VERSION,
        "corpus": config.name,
        "tokenizer": config.tokenizer_name,
        "validation": float(config.validation),
        "test": float(config.test),
        "options": options,
    }


def _tokenizer_digest(path: Path) -> str:
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the tokenizer {file}: {error.strerror or error}") from error


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
