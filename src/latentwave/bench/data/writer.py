"""The tokens of a store while they are written, in one pass over the documents."""

from __future__ import annotations

import array
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec, Encoder
from latentwave.bench.data.corpus import Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.labels import Labels
from latentwave.bench.data.lookup import look_up
from latentwave.bench.data.splits import STRIDE_TOKENS, Borders
from latentwave.errors import UserError

TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.npy"
_PROVISIONAL_FILE = "tokens.provisional"
_CHUNK_TOKENS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        codec: of the tokens.
        num_tokens: in `tokens.bin`.
        num_documents: in `documents.npy`.
        sha256: of `tokens.bin`.
        borders: of splits and units.
    """

    codec: Codec
    num_tokens: int
    num_documents: int
    sha256: str
    borders: Borders


def write_documents(folder: Path, corpus: Corpus, encoder: Encoder) -> Written:
    """Write `tokens.bin`, `documents.npy` and, with classes, `labels.npy`.

    Documents without tokens are left out. A document that cannot be read to its end is taken
    back: the corpus counts it among the skipped.

    Args:
        folder: of the store.
        corpus: its documents are read once.
        encoder: of their pieces.

    Returns:
        What was written.

    Raises:
        UserError: if the corpus holds nothing that can be read.
    """
    starts = array.array("q")
    labels = Labels(corpus)
    borders = Borders(STRIDE_TOKENS if corpus.class_names is None else 0)
    faults: list[UnreadableDocumentError] = []
    with _TokenFile(folder / _PROVISIONAL_FILE, with_digest=encoder.is_final) as file:
        for document in corpus.documents():
            borders.open_document(document.split, file.num_tokens)
            mark = (file.mark(), encoder.mark(), borders.mark())
            start = file.num_tokens
            try:
                _write_pieces(document, encoder, file, borders)
            except UnreadableDocumentError as error:
                faults.append(error)
                file.rollback(mark[0])
                encoder.rollback(mark[1])
                borders.rollback(mark[2])
                continue
            if file.num_tokens > start:
                starts.append(start)
                labels.add(document)
        num_tokens = file.num_tokens
        borders.close(num_tokens)
    if num_tokens == 0:
        if faults:
            raise UserError(
                str(faults[0])
                if len(faults) == 1
                else f"none of {len(faults)} documents can be read; the first: {faults[0]}"
            )
        raise UserError("the corpus is empty: name a file or folder that holds something")
    codec, table = encoder.finish()
    sha256 = file.finish(folder / TOKENS_FILE, codec.dtype, table)
    np.save(folder / DOCUMENTS_FILE, np.array(starts, dtype=np.int64))
    labels.save(folder)
    return Written(codec, num_tokens, len(starts), sha256, borders)


def _write_pieces(document: Document, encoder: Encoder, file: _TokenFile, borders: Borders) -> None:
    for piece in document.pieces:
        file.append(encoder.encode(piece))
        borders.add(encoder.count_units(piece), file.num_tokens)


class _TokenFile:
    """Tokens on the disk, in the width in which each piece came, and in one width at the end."""

    def __init__(self, path: Path, *, with_digest: bool) -> None:
        self._path = path
        self._file = path.open("wb")
        self._digest = hashlib.sha256() if with_digest else None
        self._runs: list[tuple[np.dtype[Any], int]] = []  # equal widths in a row
        self.num_tokens = 0

    def __enter__(self) -> _TokenFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, tokens: NDArray[Any]) -> None:
        if not len(tokens):
            return
        dtype = tokens.dtype.newbyteorder("<")
        content = np.ascontiguousarray(tokens, dtype=dtype).data
        self._file.write(content)
        if self._digest is not None:
            self._digest.update(content)
        if self._runs and self._runs[-1][0] == dtype:
            self._runs[-1] = (dtype, self._runs[-1][1] + len(tokens))
        else:
            self._runs.append((dtype, len(tokens)))
        self.num_tokens += len(tokens)

    def mark(self) -> tuple[Any, ...]:
        digest = None if self._digest is None else self._digest.copy()
        return self._file.tell(), digest, list(self._runs), self.num_tokens

    def rollback(self, mark: tuple[Any, ...]) -> None:
        place, self._digest, self._runs, self.num_tokens = mark
        self._file.seek(place)
        self._file.truncate()

    def finish(self, path: Path, dtype: str, table: NDArray[Any] | None) -> str:
        """Give the tokens their final values, width and name; returns their SHA-256."""
        final = np.dtype(dtype).newbyteorder("<")
        if table is None and self._digest is not None and [run[0] for run in self._runs] == [final]:
            self._path.rename(path)
            return self._digest.hexdigest()
        digest = hashlib.sha256()
        with self._path.open("rb") as provisional, path.open("wb") as file:
            for width, num_tokens in self._runs:
                for start in range(0, num_tokens, _CHUNK_TOKENS):
                    size = min(_CHUNK_TOKENS, num_tokens - start)
                    tokens = np.frombuffer(provisional.read(size * width.itemsize), width)
                    tokens = tokens if table is None else look_up(table, tokens)
                    content = tokens.astype(final, copy=False).data
                    file.write(content)
                    digest.update(content)
        self._path.unlink()
        return digest.hexdigest()


def read_tokens(path: Path, dtype: str, start: int, stop: int) -> NDArray[Any]:
    """Some tokens of `tokens.bin`: (stop − start,)."""
    little_endian = np.dtype(dtype).newbyteorder("<")
    tokens: NDArray[Any] = np.fromfile(
        path, little_endian, count=stop - start, offset=start * little_endian.itemsize
    )
    return tokens
