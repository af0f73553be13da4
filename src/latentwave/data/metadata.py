"""What a token store says about itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from latentwave.errors import UserError

FORMAT_VERSION = 1
METADATA_FILE = "metadata.json"
TOKEN_DTYPES = ("uint8", "uint16", "uint32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One thing that a corpus was read from.

    Attributes:
        name: a file name relative to the corpus, or what else was read.
        num_bytes: its size.
        sha256: of its content, in hexadecimal.
    """

    name: str
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the tokens of a store come from.

    Attributes:
        sources: in the order of their text.
        num_skipped_files: files that were found, but are not text.
        python_version: of the interpreter that prepared the store.
    """

    sources: list[Source]
    num_skipped_files: int
    python_version: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreMetadata:
    """The content of `metadata.json`.

    Attributes:
        format_version: of the store's files.
        fingerprint: of the configuration and the sources, in hexadecimal.
        corpus: the corpus's name.
        tokenizer: the kind of tokenizer.
        vocab_size: distinct tokens.
        num_tokens: tokens in `tokens.bin`.
        num_documents: entries of `documents.npy`.
        num_characters: characters of the text, those between documents included.
        dtype: of one token, little-endian: "uint8", "uint16" or "uint32".
        sha256: of `tokens.bin`, in hexadecimal.
        splits: first token, and token after the last, of each split.
        provenance: what the text was read from.
    """

    format_version: int
    fingerprint: str
    corpus: str
    tokenizer: str
    vocab_size: int
    num_tokens: int
    num_documents: int
    num_characters: int
    dtype: str
    sha256: str
    splits: dict[str, tuple[int, int]]
    provenance: Provenance

    def save(self, folder: Path) -> None:
        """Write `metadata.json` into a store's folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / METADATA_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> StoreMetadata:
        """Read `metadata.json` from a store's folder.

        Raises:
            UserError: if it is missing, of another format version, or damaged.
        """
        path = folder / METADATA_FILE
        if not path.is_file():
            what = "holds no token store" if folder.is_dir() else "does not exist"
            raise UserError(
                f"{folder} {what} (no {METADATA_FILE}): prepare the corpus, or name another folder"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["format_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from error
        if version != FORMAT_VERSION:
            raise UserError(
                f"the token store {folder} has format version {version}, this program reads "
                f"version {FORMAT_VERSION}: delete the folder and prepare the corpus again"
            )
        try:
            provenance = dict(content["provenance"])
            provenance["sources"] = [_build(Source, source) for source in provenance["sources"]]
            splits = {name: (start, stop) for name, (start, stop) in content["splits"].items()}
            metadata: StoreMetadata = _build(
                cls, content | {"provenance": _build(Provenance, provenance), "splits": splits}
            )
            metadata._check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error
        return metadata

    def num_token_bytes(self) -> int:
        """The size that `tokens.bin` must have."""
        return self.num_tokens * np.dtype(self.dtype).itemsize

    def _check(self) -> None:
        if self.dtype not in TOKEN_DTYPES:
            raise ValueError(f"dtype {self.dtype!r}")
        for name, (start, stop) in self.splits.items():
            if not 0 <= start <= stop <= self.num_tokens:
                raise ValueError(f"split {name!r} is [{start}, {stop}) of {self.num_tokens} tokens")


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every token.

    Example:
        >>> token_dtype(256), token_dtype(257)
        ('uint8', 'uint16')
    """
    return next(name for name in TOKEN_DTYPES if vocab_size - 1 <= np.iinfo(name).max)


def _build(cls: type[Any], values: dict[str, Any]) -> Any:
    """A dataclass from JSON values; plain fields must have exactly their type."""
    for name, hint in get_type_hints(cls).items():
        if hint in (int, str) and type(values[name]) is not hint:
            raise TypeError(f"{name} must be {hint.__name__}, got {values[name]!r}")
    return cls(**values)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {error}): delete its folder and prepare the "
        "corpus again"
    )
