"""The tokens of a store while they are written, in one pass over the documents."""

from __future__ import annotations

import array
import hashlib
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpora import make_encoder
from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.metadata import FORMAT_VERSION, Provenance, Split, StoreMetadata
from latentwave.bench.data.splits import share_sizes
from latentwave.errors import UserError

TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.npy"
LABELS_FILE = "labels.npy"
_CHUNK_TOKENS = 1 << 16
_Counts = Counter[str]


def write_documents(
    folder: Path, config: CorpusConfig, corpus: Corpus
) -> tuple[Codec, StoreMetadata]:
    """Write `tokens.bin`, `documents.npy` and, with classes, `labels.npy`.

    Documents without tokens are left out. One that cannot be read to its end is taken back: the
    corpus counts it among the skipped. Splits that documents name stand; only a validation split
    that is missing is cut off the end of the training tokens. Otherwise the last tokens are the
    test, those before them the validation; labelled documents are not cut. The metadata that is
    returned with the codec lacks the fingerprint.
    """
    encoder = make_encoder(config, corpus)
    path, dtype = folder / TOKENS_FILE, np.dtype(encoder.dtype).newbyteorder("<")
    starts, labels = array.array("q"), list[Any]()
    firsts: dict[str | None, int] = {}  # the first token of each split that documents name
    counted: dict[str | None, _Counts] = {}
    faults: list[UserError] = []
    with path.open("wb") as file:
        for document in corpus.documents():
            start = file.tell()
            _check_order(firsts, document.split)
            firsts.setdefault(document.split, start // dtype.itemsize)
            units = _Counts()
            try:
                for tokens in encoder.encode_document(_counted(document, encoder, units)):
                    file.write(np.ascontiguousarray(tokens, dtype=dtype).data)
            except UnreadableDocumentError as error:
                faults.append(error)
                file.seek(start)
                file.truncate()
                continue
            if file.tell() > start:
                starts.append(start // dtype.itemsize)
                labels.append(document.label)
                counted.setdefault(document.split, _Counts()).update(units)
    if not starts:
        if len(faults) > 1:
            raise UserError(f"none of {len(faults)} documents can be read; the first: {faults[0]}")
        if faults:
            raise faults[0]
        what = config.path or f"the corpus {config.name!r}"
        raise UserError(f"{what} is empty: name a file or folder that holds something")
    codec, tokens = _finished(path, dtype, encoder)
    with path.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    np.save(folder / DOCUMENTS_FILE, documents := np.array(starts, dtype=np.int64))
    label_array = _label_array(labels, corpus)
    if label_array is not None:
        np.save(folder / LABELS_FILE, label_array)
    whole = None if label_array is None else documents
    places = _cut(firsts, len(tokens), config, whole)
    return codec, StoreMetadata(
        format_version=FORMAT_VERSION,
        fingerprint="",
        corpus=config.name,
        tokenizer=config.tokenizer_name,
        vocab_size=codec.vocab_size,
        num_tokens=len(tokens),
        num_documents=len(starts),
        dtype=codec.dtype,
        sha256=sha256,
        unit=codec.unit,
        splits={
            name: Split(
                start=start, stop=stop, num_units=_units(codec, tokens[start:stop], name, counted)
            )
            for name, start, stop in zip(SPLITS, places, places[1:], strict=False)
        },
        class_names=corpus.class_names,
        multi_label=corpus.multi_label,
        provenance=Provenance(
            sources=list(corpus.sources),
            skipped=list(corpus.skipped),
            left_out=list(corpus.left_out),
            python_version=platform.python_version(),
        ),
    )


def _check_order(firsts: Mapping[str | None, int], split: str | None) -> None:
    order = list(firsts)
    if not order or order[-1] != split:
        order.append(split)
    if order not in ([None], [name for name in SPLITS if name in order]):
        raise ValueError(
            f"documents must name the splits {', '.join(SPLITS)} in this order, or none must, got "
            f"{', '.join(map(repr, order))}"
        )


def _counted(document: Document, encoder: Codec, units: _Counts) -> Iterator[Any]:
    for piece in document.pieces:
        units.update(encoder.count_units(piece))
        yield piece


def _finished(
    path: Path, dtype: np.dtype[Any], encoder: Codec
) -> tuple[Codec, NDArray[np.integer[Any]]]:
    """The codec and the mapped tokens, provisional ones replaced."""
    tokens = np.memmap(path, dtype, "r")
    codec, table = encoder.finish(_chunks(tokens))
    if table is not None:
        dtype = np.dtype(codec.dtype).newbyteorder("<")
        partial = path.with_name("tokens.final")
        with partial.open("wb") as file:
            for part in _chunks(tokens):
                file.write(table.take(part).astype(dtype, copy=False).data)
        del tokens
        partial.replace(path)
        tokens = np.memmap(path, dtype, "r")
    return codec, tokens


def _chunks(tokens: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (tokens[i : i + _CHUNK_TOKENS] for i in range(0, len(tokens), _CHUNK_TOKENS))


def _cut(
    firsts: Mapping[str | None, int],
    total: int,
    config: CorpusConfig,
    whole: NDArray[np.int64] | None,
) -> list[int]:
    """Where the splits begin and the last one ends; `whole` documents are not cut in two."""
    if None in firsts:
        sizes = share_sizes(total, config.validation, config.test)
        places = [sizes["train"], total - sizes["test"]]
    elif "train" not in firsts:
        raise UserError(f"the corpus has no training documents, only {', '.join(map(str, firsts))}")
    else:
        second = firsts.get("test", total)
        places = [firsts.get("validation", second - round(second * config.validation)), second]
    if whole is not None and "validation" not in firsts:
        borders = np.append(whole, total)
        places = [int(borders[np.abs(borders - place).argmin()]) for place in places]
    return [0, *places, total]


def _units(
    codec: Codec, tokens: NDArray[Any], split: str, counted: Mapping[str | None, _Counts]
) -> dict[str, int]:
    """What the tokens of a split hold."""
    empty = codec.units_of(tokens[:0])
    if empty is None and None in counted:
        raise ValueError(f"{codec.kind!r} tokens tell no units: documents must name splits")
    if empty is None:
        return dict(counted.get(split) or dict.fromkeys(counted["train"], 0))
    total = _Counts(empty)
    for part in _chunks(tokens):
        total.update(codec.units_of(part))
    return dict(total)


def _label_array(labels: Sequence[Any], corpus: Corpus) -> NDArray[Any] | None:
    """What `labels.npy` holds: (documents,) int64, or (documents, classes) uint8, 0 and 1."""
    names, is_multi = corpus.class_names, corpus.multi_label
    if names is None:
        if any(label is not None for label in labels):
            raise ValueError("a corpus without class names has labelled documents")
        return None
    table = np.zeros((len(labels), len(names)), dtype=np.uint8)
    for row, label in zip(table, labels, strict=True):
        chosen = list(label) if isinstance(label, tuple) else [label]
        is_known = all(isinstance(index, int) and 0 <= index < len(names) for index in chosen)
        if is_multi != isinstance(label, tuple) or not is_known:
            wanted = "a tuple of class indices" if is_multi else "one class index"
            raise ValueError(f"label must be {wanted} in [0, {len(names)}), got {label!r}")
        row[chosen] = 1
    return table if is_multi else table.argmax(axis=1)
