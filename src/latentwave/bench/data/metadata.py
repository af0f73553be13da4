"""What a token store says about itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from latentwave.errors import UserError

FORMAT_VERSION = 2
METADATA_FILE = "metadata.json"
VOCABULARY_DTYPES = ("uint8", "uint16", "uint32")
TOKEN_DTYPES = (*VOCABULARY_DTYPES, "int16")


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
class SkippedFile:
    """A file that was found and could not be read.

    Attributes:
        name: relative to the corpus.
        reason: why.
    """

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the tokens of a store come from.

    Attributes:
        sources: in the order of their documents.
        skipped: what was found there and could not be read.
        python_version: of the interpreter that prepared the store.
    """

    sources: list[Source]
    skipped: list[SkippedFile]
    python_version: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a store.

    Attributes:
        start: its first token.
        stop: the token after its last.
        num_units: what its tokens hold, by unit: characters and bytes of text, samples, events.
    """

    start: int
    stop: int
    num_units: dict[str, int]

    @property
    def num_tokens(self) -> int:
        """Tokens of the split."""
        return self.stop - self.start


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreMetadata:
    """The content of `metadata.json`.

    Attributes:
        format_version: of the store's files.
        fingerprint: of the configuration and the sources, in hexadecimal.
        corpus: the corpus's name.
        tokenizer: the kind of codec.
        vocab_size: distinct tokens; 0 for raw samples.
        num_tokens: tokens in `tokens.bin`.
        num_documents: entries of `documents.npy`.
        dtype: of one token, little-endian: "uint8", "uint16", "uint32" or "int16".
        sha256: of `tokens.bin`, in hexadecimal.
        unit: what bits are counted per, one of the units of the splits.
        splits: "train", "validation" and "test".
        class_names: of the labels in `labels.npy`; None for a corpus without labels.
        multi_label: whether a document may have several labels.
        provenance: what the documents were read from.
    """

    format_version: int
    fingerprint: str
    corpus: str
    tokenizer: str
    vocab_size: int
    num_tokens: int
    num_documents: int
    dtype: str
    sha256: str
    unit: str
    splits: dict[str, Split]
    class_names: tuple[str, ...] | None
    multi_label: bool
    provenance: Provenance

    @property
    def num_classes(self) -> int | None:
        """Distinct labels; None for a corpus without labels."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def num_units(self) -> dict[str, int]:
        """What all tokens hold, by unit."""
        total: dict[str, int] = {}
        for split in self.splits.values():
            for unit, number in split.num_units.items():
                total[unit] = total.get(unit, 0) + number
        return total

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
            metadata: StoreMetadata = _build(cls, content | _inner_dataclasses(content))
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
        for name, split in self.splits.items():
            if not 0 <= split.start <= split.stop <= self.num_tokens:
                raise ValueError(
                    f"split {name!r} is [{split.start}, {split.stop}) of {self.num_tokens} tokens"
                )
            if self.unit not in split.num_units:
                raise ValueError(f"split {name!r} does not count its {self.unit}s")


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every token.

    Example:
        >>> token_dtype(256), token_dtype(257)
        ('uint8', 'uint16')
    """
    return next(name for name in VOCABULARY_DTYPES if vocab_size - 1 <= np.iinfo(name).max)


def _inner_dataclasses(content: dict[str, Any]) -> dict[str, Any]:
    provenance = dict(content["provenance"])
    provenance["sources"] = [_build(Source, source) for source in provenance["sources"]]
    provenance["skipped"] = [_build(SkippedFile, file) for file in provenance["skipped"]]
    names = content["class_names"]
    return {
        "provenance": _build(Provenance, provenance),
        "splits": {name: _build(Split, split) for name, split in content["splits"].items()},
        "class_names": None if names is None else tuple(names),
    }


def _build(cls: type[Any], values: dict[str, Any]) -> Any:
    """A dataclass from JSON values; plain fields must have exactly their type."""
    for name, hint in get_type_hints(cls).items():
        if hint in (int, str, bool) and type(values[name]) is not hint:
            raise TypeError(f"{name} must be {hint.__name__}, got {values[name]!r}")
    return cls(**values)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {error}): delete its folder and prepare the "
        "corpus again"
    )
