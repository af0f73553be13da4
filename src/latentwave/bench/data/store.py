"""Token stores: opens a folder of memory-mapped tokens, documents, labels and metadata."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.corpora import load_codec
from latentwave.bench.data.metadata import METADATA_FILE, Split, StoreMetadata, sha256_of
from latentwave.bench.data.windows import DocumentBorders
from latentwave.bench.data.writer import DOCUMENTS_FILE, LABELS_FILE, TOKENS_FILE
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True)
class TokenStore:
    """The tokens of a corpus, read from the disk as they are used."""

    folder: Path  # tokens.bin, documents.npy, metadata.json, the codec's files, labels.npy
    metadata: StoreMetadata

    def split(self, name: str) -> NDArray[Any]:
        """The tokens of one split: (tokens,), of `metadata.dtype`, read-only, memory-mapped."""
        split = self._split(name)
        dtype = np.dtype(self.metadata.dtype).newbyteorder("<")
        return np.memmap(self.folder / TOKENS_FILE, dtype, "r")[split.start : split.stop]

    @functools.cached_property
    def documents(self) -> NDArray[np.int64]:
        """Where each document starts: (num_documents,), int64, in tokens, read-only."""
        array = self._array(DOCUMENTS_FILE, np.int64)
        edges = np.append(array, self.metadata.num_tokens)
        if array.ndim != 1 or edges[0] != 0 or (np.diff(edges) <= 0).any():
            raise self._damaged(DOCUMENTS_FILE, "it does not fit the tokens")
        return array

    @functools.cached_property
    def labels(self) -> NDArray[Any] | None:
        """The class of each document, (num_documents,), int64, or None without labels.

        In a multi-label corpus (num_documents, num_classes), uint8, 1 for each of its classes.
        """
        num_classes, is_multi = self.metadata.num_classes, self.metadata.multi_label
        if num_classes is None:
            return None
        array = self._array(LABELS_FILE, np.uint8 if is_multi else np.int64)
        highest, shape = (1, (num_classes,)) if is_multi else (num_classes - 1, ())
        if array.shape[1:] != shape or array.min(initial=0) < 0 or array.max(initial=0) > highest:
            raise self._damaged(LABELS_FILE, "it does not fit the classes")
        return array

    def spans(self, name: str) -> NDArray[np.int64]:
        """The documents of one split, including those cut by its borders: (documents, 3), int64.

        A row is the index in the store, the first token and the token after the last in the split.
        """
        split = self._split(name)
        documents = np.asarray(self.documents)
        stops = np.append(documents[1:], self.metadata.num_tokens)
        first, stop = np.clip([documents, stops], split.start, split.stop) - split.start
        inside = np.flatnonzero(first < stop)
        return np.stack([inside, first[inside], stop[inside]], axis=1)

    def borders(self, name: str) -> DocumentBorders:
        """Where documents start in one split, for windows that keep them apart."""
        return DocumentBorders(self.documents, self._split(name).start)

    def bits_per_unit(self, loss: float, split: str = "validation") -> dict[str, float]:
        """Bits per character, byte, sample … from the loss on a split in nats per token.

        bits = loss / ln 2 · (tokens of the split) / (units of the split)
        """
        part = self._split(split)
        units = sorted(part.num_units, key=lambda unit: unit != self.metadata.unit)
        return {
            unit: loss / math.log(2) * part.num_tokens / part.num_units[unit]
            for unit in units
            if part.num_units[unit]
        }

    @functools.cached_property
    def codec(self) -> Codec:
        """The codec that wrote the tokens."""
        return load_codec(self.folder)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of a text, as `AutoTokenizer.from_pretrained(store.folder)` loads it."""
        return self.codec.tokenizer

    def prepared_at(self) -> float:
        """When the store was written: seconds since 1970."""
        return (self.folder / METADATA_FILE).stat().st_mtime

    def verify(self) -> None:
        """Read all tokens and compare them with their checksum; a UserError if a byte changed."""
        path = self.folder / TOKENS_FILE
        try:
            found = sha256_of(path)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        if found != self.metadata.sha256:
            raise UserError(
                f"{path} has changed since it was written: its SHA-256 is {found}, not "
                f"{self.metadata.sha256}; delete {self.folder} and prepare the corpus again"
            )

    def __getstate__(self) -> dict[str, Any]:
        # Without the cached arrays: other processes map the files again.
        return {"folder": self.folder, "metadata": self.metadata}

    def _split(self, name: str) -> Split:
        if name not in self.metadata.splits:
            known = ", ".join(self.metadata.splits)
            raise UserError(f"the token store has no split {name!r}; it has: {known}")
        return self.metadata.splits[name]

    def _array(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        path = self.folder / name
        if not path.is_file():  # opening a named pipe would block
            raise self._damaged(name, "not a regular file" if path.exists() else "missing")
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
            raise self._damaged(name, str(error)) from error
        if array.dtype != dtype or array.shape[:1] != (self.metadata.num_documents,):
            raise self._damaged(name, f"it holds {array.dtype} {array.shape}")
        return array

    def _damaged(self, name: str, why: str) -> UserError:
        remedy = f"delete {self.folder} and prepare the corpus again"
        return UserError(f"{self.folder / name} is damaged ({why}): {remedy}")


def open_store(folder: Path | str) -> TokenStore:
    """Open a token store; a UserError if it is missing, damaged or of another format version."""
    folder = Path(folder)
    store = TokenStore(folder, StoreMetadata.load(folder))
    path = folder / TOKENS_FILE
    expected = store.metadata.num_tokens * np.dtype(store.metadata.dtype).itemsize
    found = path.stat().st_size if path.is_file() else 0
    if found != expected:
        raise store._damaged(TOKENS_FILE, f"it has {found} bytes, but {expected} were written")
    _ = store.documents, store.labels  # reading them checks them
    return store
