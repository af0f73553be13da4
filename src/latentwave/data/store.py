"""Token stores: memory-mapped tokens with their metadata."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.data.characters import CharacterTokenizer
from latentwave.data.metadata import StoreMetadata
from latentwave.errors import UserError

TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.npy"


@dataclasses.dataclass(frozen=True)
class TokenStore:
    """The tokens of a corpus in a folder, read from the disk as they are used.

    Attributes:
        folder: holds `tokens.bin`, `documents.npy`, `metadata.json` and the tokenizer's files.
        metadata: the content of `metadata.json`.
    """

    folder: Path
    metadata: StoreMetadata

    def split(self, name: str) -> NDArray[Any]:
        """The tokens of one split.

        Returns:
            (num_tokens of the split,), of `metadata.dtype`, read-only, memory-mapped.

        Raises:
            UserError: for a split that the store does not have.
        """
        if name not in self.metadata.splits:
            known = ", ".join(self.metadata.splits)
            raise UserError(f"the token store has no split {name!r}; it has: {known}")
        start, stop = self.metadata.splits[name]
        dtype = np.dtype(self.metadata.dtype).newbyteorder("<")
        if start == stop:  # nothing cannot be mapped
            nothing = np.empty(0, dtype)
            nothing.flags.writeable = False
            return nothing
        return np.memmap(
            self.folder / TOKENS_FILE,
            dtype=dtype,
            mode="r",
            offset=start * dtype.itemsize,
            shape=(stop - start,),
        )

    @property
    def documents(self) -> NDArray[np.int64]:
        """Where each document starts: (num_documents,), int64, in tokens, read-only."""
        return _load_documents(self.folder)

    @property
    def characters_per_token(self) -> float:
        """Mean over the store: divides a loss per token to give one per character."""
        return self.metadata.num_characters / self.metadata.num_tokens

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, as `AutoTokenizer.from_pretrained(store.folder)` loads it."""
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(self.folder)
        return tokenizer

    def encode_text(self, text: str) -> NDArray[Any]:
        """The tokens of a text, such as a prompt.

        Returns:
            (tokens,), of `metadata.dtype`.

        Raises:
            UserError: for a character that is not in the vocabulary, with its position.
        """
        return self._characters.encode(text)

    def verify(self) -> None:
        """Read all tokens and compare them with their checksum.

        Raises:
            UserError: if a byte has changed.
        """
        path = self.folder / TOKENS_FILE
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        if found != self.metadata.sha256:
            raise UserError(
                f"{path} has changed since it was written: its SHA-256 is {found}, not "
                f"{self.metadata.sha256}; delete {self.folder} and prepare the corpus again"
            )

    @functools.cached_property
    def _characters(self) -> CharacterTokenizer:
        return CharacterTokenizer.from_folder(self.folder)


def open_store(folder: Path | str, *, verify: bool = False) -> TokenStore:
    """Open a finished token store.

    Args:
        folder: of the store.
        verify: also read all tokens and compare their checksum.

    Returns:
        The store.

    Raises:
        UserError: if the folder is not there or holds no store, the store has another format
            version, or its files do not fit its metadata.
    """
    folder = Path(folder)
    store = TokenStore(folder, StoreMetadata.load(folder))
    path, expected = folder / TOKENS_FILE, store.metadata.num_token_bytes()
    found = path.stat().st_size if path.is_file() else 0
    if found != expected:
        raise UserError(
            f"{path} has {found} bytes, but {expected} were written: delete {folder} and prepare "
            "the corpus again"
        )
    if len(_load_documents(folder)) != store.metadata.num_documents:
        raise UserError(
            f"{folder / DOCUMENTS_FILE} does not fit the metadata: delete {folder} and prepare "
            "the corpus again"
        )
    if verify:
        store.verify()
    return store


def _load_documents(folder: Path) -> NDArray[np.int64]:
    try:
        starts: NDArray[np.int64] = np.load(folder / DOCUMENTS_FILE, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / DOCUMENTS_FILE} cannot be read ({error}): delete {folder} and prepare the "
            "corpus again"
        ) from error
    return starts
