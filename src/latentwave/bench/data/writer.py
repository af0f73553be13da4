"""The tokens of a store while they are written, in one pass over the documents."""

from __future__ import annotations

import array
import collections
import hashlib
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec, Encoder
from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.metadata import FORMAT_VERSION, Provenance, Split, StoreMetadata
from latentwave.bench.data.splits import share_sizes
from latentwave.errors import UserError

TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.npy"
LABELS_FILE = "labels.npy"
_CHUNK_TOKENS = 1 << 16


def write_documents(
    folder: Path, config: CorpusConfig, corpus: Corpus
) -> tuple[Codec, StoreMetadata]:
    """Write `tokens.bin`, `documents.npy` and, with classes, `labels.npy`.

    Documents without tokens are left out. One that cannot be read to its end is taken back: the
    corpus counts it among the skipped. Splits that documents name stand; only a validation split
    that is missing is cut off the end of the training tokens. Otherwise the last tokens are the
    test, those before them the validation; labelled documents are not cut.

    Args:
        folder: of the store.
        config: its encoder and shares are used.
        corpus: its documents are read once, unless the encoder learns from them.

    Returns:
        The codec, and what the store says about itself, without a fingerprint.

    Raises:
        UserError: if the corpus holds nothing that can be read, or names splits but no "train".
    """
    encoder = config.kind.codec(config, corpus)
    starts = array.array("q")
    labels: list[Any] = []
    named = _NamedSplits()
    faults: list[UserError] = []
    with _TokenFile(folder / TOKENS_FILE) as file:
        for document in corpus.documents():
            named.open_document(document.split, file.num_tokens)
            mark, start = file.mark(), file.num_tokens
            units: collections.Counter[str] = collections.Counter()
            try:
                for tokens in encoder.encode_document(_counted(document, encoder, units)):
                    file.append(tokens)
            except UnreadableDocumentError as error:
                faults.append(error)
                file.rollback(mark)
                continue
            if file.num_tokens > start:
                starts.append(start)
                labels.append(document.label)
                named.units.setdefault(document.split or "", collections.Counter()).update(units)
    if not file.num_tokens:
        if len(faults) > 1:
            raise UserError(f"none of {len(faults)} documents can be read; the first: {faults[0]}")
        if faults:
            raise faults[0]
        raise UserError(
            f"{config.path or f'the corpus {config.name!r}'} is empty: name a file or folder that "
            "holds something"
        )
    codec, table = encoder.finish(file.read())
    sha256 = file.finish(codec.dtype, table)
    documents = np.array(starts, dtype=np.int64)
    np.save(folder / DOCUMENTS_FILE, documents)
    label_array = _label_array(labels, corpus)
    if label_array is not None:
        np.save(folder / LABELS_FILE, label_array)
    return codec, StoreMetadata(
        format_version=FORMAT_VERSION,
        fingerprint="",
        corpus=config.name,
        tokenizer=config.tokenizer_name,
        vocab_size=codec.vocab_size,
        num_tokens=file.num_tokens,
        num_documents=len(starts),
        dtype=codec.dtype,
        sha256=sha256,
        unit=codec.unit,
        splits=named.cut(
            file,
            codec,
            shares=(config.validation, config.test),
            whole=None if label_array is None else documents,
        ),
        class_names=corpus.class_names,
        multi_label=corpus.multi_label,
        provenance=Provenance(
            sources=list(corpus.sources),
            skipped=list(corpus.skipped),
            left_out=list(corpus.left_out),
            python_version=platform.python_version(),
        ),
    )


def _counted(
    document: Document, encoder: Encoder, units: collections.Counter[str]
) -> Iterator[Any]:
    for piece in document.pieces:
        units.update(encoder.count_units(piece))
        yield piece


class _NamedSplits:
    """The splits that documents name: where each begins, and what tokens do not tell of it."""

    def __init__(self) -> None:
        self.units: dict[str, collections.Counter[str]] = {}
        self._starts: dict[str | None, int] = {}

    def open_document(self, split: str | None, num_tokens: int) -> None:
        """Note the split of the document that begins now.

        Raises:
            ValueError: if splits are unknown or out of order, or only some documents name one.
        """
        if self._starts and (split is None) != (None in self._starts):
            raise ValueError("all documents of a corpus must name a split, or none")
        if split is not None and split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if split not in self._starts:
            later = [
                name
                for name in self._starts
                if SPLITS.index(name or "") > SPLITS.index(split or "")
            ]
            if later:
                raise ValueError(f"the split {split!r} must come before {later[0]!r}")
            self._starts[split] = num_tokens
        elif next(reversed(self._starts)) != split:
            raise ValueError(f"documents of the split {split!r} must follow each other")

    def cut(
        self,
        file: _TokenFile,
        codec: Codec,
        *,
        shares: tuple[float, float],
        whole: NDArray[np.int64] | None,
    ) -> dict[str, Split]:
        """The splits, in order, with their units.

        Args:
            file: of the tokens.
            codec: of the tokens.
            shares: of validation and test.
            whole: first tokens of documents that must not be cut in two; None: they may.

        Raises:
            UserError: if the documents name splits, and none is for training.
        """
        total = file.num_tokens
        validation, test = shares
        if None in self._starts:
            sizes = share_sizes(total, validation, test)
            places = [sizes["train"], total - sizes["test"]]
        else:
            starts = {str(name): start for name, start in self._starts.items()}
            if "train" not in starts:
                raise UserError(f"the corpus has no training documents, only {', '.join(starts)}")
            second = starts.get("test", total)
            places = [starts.get("validation", second - round(second * validation)), second]
        if whole is not None and not (set(self._starts) >= {"train", "validation"}):
            borders = np.append(whole, total)
            places = [int(borders[np.abs(borders - place).argmin()]) for place in places]
        edges = [0, *places, total]
        splits = {}
        for name, start, stop in zip(SPLITS, edges, edges[1:], strict=False):
            units: dict[str, int] = dict.fromkeys(codec.units_of(file.slice(0, 0)) or (), 0)
            if units:
                for first in range(start, stop, _CHUNK_TOKENS):
                    part = codec.units_of(file.slice(first, min(first + _CHUNK_TOKENS, stop)))
                    units = {unit: number + (part or {})[unit] for unit, number in units.items()}
            elif None in self._starts:
                raise ValueError(f"{codec.kind!r} tokens tell no units: documents must name splits")
            else:
                units = dict(self.units.get(name) or dict.fromkeys(self.units["train"], 0))
            splits[name] = Split(start=start, stop=stop, num_units=units)
        return splits


def _label_array(labels: Sequence[Any], corpus: Corpus) -> NDArray[Any] | None:
    """What `labels.npy` holds: (documents,) int64, or (documents, classes) uint8, 0 and 1.

    Raises:
        ValueError: if a label does not fit the corpus's classes.
    """
    names, is_multi = corpus.class_names, corpus.multi_label
    if names is None:
        if any(label is not None for label in labels):
            raise ValueError("a corpus without class names has labelled documents")
        return None
    table = np.zeros((len(labels), len(names)), dtype=np.uint8)
    for row, label in zip(table, labels, strict=True):
        if label is None or is_multi != isinstance(label, tuple):
            wanted = "a tuple of class indices" if is_multi else "one class index"
            raise ValueError(f"label must be {wanted}, got {label!r}")
        chosen = list(label) if is_multi else [label]
        if not all(0 <= index < len(names) for index in chosen):
            raise ValueError(f"label must be in [0, {len(names)}), got {label}")
        row[chosen] = 1
    return table if is_multi else table.argmax(axis=1)


class _TokenFile:
    """Tokens on the disk, in the width in which each part came, and in one width at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
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
        self._file.write(np.ascontiguousarray(tokens, dtype=dtype).data)
        if self._runs and self._runs[-1][0] == dtype:
            self._runs[-1] = (dtype, self._runs[-1][1] + len(tokens))
        else:
            self._runs.append((dtype, len(tokens)))
        self.num_tokens += len(tokens)

    def mark(self) -> tuple[Any, ...]:
        """What `rollback` needs to forget what comes now."""
        return self._file.tell(), len(self._runs), self._runs[-1:], self.num_tokens

    def rollback(self, mark: tuple[Any, ...]) -> None:
        place, num_runs, last, self.num_tokens = mark
        self._runs[max(0, num_runs - 1) :] = last
        self._file.seek(place)
        self._file.truncate()

    def read(self) -> Iterator[NDArray[Any]]:
        """All tokens, in parts."""
        with self._path.open("rb") as file:
            for dtype, num_tokens in self._runs:
                for start in range(0, num_tokens, _CHUNK_TOKENS):
                    size = min(_CHUNK_TOKENS, num_tokens - start)
                    yield np.frombuffer(file.read(size * dtype.itemsize), dtype)

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """Some tokens of the finished file: (stop − start,)."""
        ((dtype, _),) = self._runs
        tokens: NDArray[Any] = np.fromfile(
            self._path, dtype, count=stop - start, offset=start * dtype.itemsize
        )
        return tokens

    def finish(self, dtype: str, table: NDArray[Any] | None) -> str:
        """Give the tokens their final values and width; returns their SHA-256."""
        final = np.dtype(dtype).newbyteorder("<")
        if table is not None or [width for width, _ in self._runs] != [final]:
            partial = self._path.with_name("tokens.final")
            with partial.open("wb") as file:
                for tokens in self.read():
                    values = tokens if table is None else look_up(table, tokens)
                    file.write(values.astype(final, copy=False).data)
            partial.replace(self._path)
            self._runs = [(final, self.num_tokens)]
        with self._path.open("rb") as written:
            return hashlib.file_digest(written, "sha256").hexdigest()


def look_up(table: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
    """`table[numbers]`, several times faster where both are bytes.

    Args:
        table: (entries,), longer than every number.
        numbers: (N,), unsigned integers.

    Returns:
        (N,), of the table's type.

    Example:
        >>> look_up(np.array([7, 5], dtype=np.uint8), np.array([1, 0, 1], dtype=np.uint8)).tolist()
        [5, 7, 5]
    """
    if table.dtype == np.uint8 and numbers.dtype == np.uint8:
        entries = table[:256].tobytes().ljust(256, b"\0")
        return np.frombuffer(numbers.tobytes().translate(entries), dtype=np.uint8)
    return table.take(numbers)
