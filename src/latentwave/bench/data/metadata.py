"""The metadata of a token store: format, splits, checksum and provenance."""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentwave.bench.data.json_files import read_json
from latentwave.errors import UserError

FORMAT_VERSION = 3
METADATA_FILE = "metadata.json"
TOKEN_DTYPES = ("uint8", "uint16", "uint32", "int16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A file, or anything else, that a corpus was read from."""

    name: str  # relative to the corpus if it is a file
    num_bytes: int
    sha256: str  # of its content, in hexadecimal


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """A file that was not read, or only in part."""

    name: str  # relative to the corpus
    reason: str  # why it was not read, or what was lost


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the tokens of a store come from."""

    sources: list[Source]  # in the order of their documents
    skipped: list[SkippedFile]  # not readable, or only in part
    left_out: list[SkippedFile]  # not of the corpus: hidden, or of another kind
    python_version: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a store."""

    start: int  # its first token
    stop: int  # the token after its last
    num_units: dict[str, int]  # the characters and bytes, samples or notes of its tokens

    @property
    def num_tokens(self) -> int:
        """Tokens of the split."""
        return self.stop - self.start


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreMetadata:
    """The content of `metadata.json`."""

    format_version: int
    fingerprint: str  # of the configuration and the sources, in hexadecimal
    corpus: str
    tokenizer: str  # the kind of codec
    vocab_size: int  # 0 for raw samples
    num_tokens: int
    num_documents: int
    dtype: str  # of one token, little-endian, one of TOKEN_DTYPES
    sha256: str  # of `tokens.bin`, in hexadecimal
    unit: str  # what bits are counted per, one of the units of the splits
    splits: dict[str, Split]  # "train", "validation" and "test"
    class_names: tuple[str, ...] | None  # of the labels; None without labels
    multi_label: bool  # whether a document may have several labels
    provenance: Provenance

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def num_units(self) -> dict[str, int]:
        """Characters and bytes, samples or notes of all splits together."""
        total: collections.Counter[str] = collections.Counter()
        for split in self.splits.values():
            total.update(split.num_units)
        return dict(total)

    def save(self, folder: Path) -> None:
        """Write `metadata.json` into a store's folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        # Names of files need not be valid text.
        (folder / METADATA_FILE).write_bytes(text.encode("utf-8", "replace") + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "StoreMetadata":
        """Read `metadata.json`; a UserError if it is missing, of another version, or damaged."""
        path, remedy = folder / METADATA_FILE, "delete its folder and prepare the corpus again"
        if not path.is_file():
            what = "holds no token store" if folder.is_dir() else "does not exist"
            raise UserError(
                f"{folder} {what} (no {METADATA_FILE}): prepare the corpus, or name another folder"
            )
        version = read_json(path, remedy).get("format_version")
        if isinstance(version, int) and version != FORMAT_VERSION:
            raise UserError(
                f"the token store {folder} has format version {version}, this program reads "
                f"version {FORMAT_VERSION}: {remedy}"
            )
        metadata: StoreMetadata = read_json(path, remedy, cls)
        for fault in metadata._faults():
            raise UserError(f"{path} is damaged ({fault}): {remedy}")
        return metadata

    def _faults(self) -> Iterator[str]:
        if self.dtype not in TOKEN_DTYPES:
            yield f"dtype {self.dtype!r}"
        for name, split in self.splits.items():
            if not 0 <= split.start <= split.stop <= self.num_tokens:
                where = f"[{split.start}, {split.stop}) of {self.num_tokens} tokens"
                yield f"split {name!r} is {where}"
            if self.unit not in split.num_units:
                yield f"split {name!r} does not count its {self.unit}s"


def token_dtype(vocab_size: int) -> str:
    """The smallest unsigned type that holds every token."""
    return np.min_scalar_type(vocab_size - 1).name


def file_source(name: str, path: Path) -> Source:
    """Describe a file as a source called `name`."""
    return Source(name=name, num_bytes=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
