"""Writes the tokens, documents and labels of a store in one pass over a corpus."""

from __future__ import annotations

import array
import itertools
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpora import make_encoder
from latentwave.bench.data.corpus import SPLITS, Corpus, UnreadableDocumentError
from latentwave.bench.data.metadata import (
    FORMAT_VERSION,
    Provenance,
    Split,
    StoreMetadata,
    sha256_of,
)
from latentwave.bench.data.text.characters import CodePoints, Draft, TextCodec, text_pieces
from latentwave.errors import UserError

TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.npy"
LABELS_FILE = "labels.npy"
_CHUNK_TOKENS = 1 << 16


def write_documents(
    folder: Path, config: CorpusConfig, corpus: Corpus
) -> tuple[Codec, StoreMetadata]:
    """Write `tokens.bin`, `documents.npy` and, with classes, `labels.npy`.

    Documents without tokens are left out, as are those that cannot be read to the end, which the
    corpus counts as skipped. If documents name their splits, only a missing validation split is
    cut off the end of the training tokens; otherwise the last tokens are the test, and those before
    them the validation. Labelled documents are never cut. Texts are cut by characters, whatever
    their tokens are. Returns the codec and the metadata, still without a fingerprint.
    """
    encoder = make_encoder(config)
    path, dtype = folder / TOKENS_FILE, np.dtype(encoder.dtype).newbyteorder("<")
    with path.open("wb") as file:
        starts, pieces, labels, firsts = _encode(corpus, encoder, dtype, file)
    if not starts:
        what = config.path or f"the corpus {config.name!r}"
        raise UserError(f"{what} is empty: name a file or folder that holds something")
    documents = np.array(starts, dtype=np.int64)
    draft = np.memmap(path, dtype, "r")
    places = _cut(firsts, len(draft), config, None if corpus.class_names is None else documents)
    num_units = [_units(encoder, draft[slice(*span)]) for span in itertools.pairwise(places)]
    codec = encoder
    if isinstance(encoder, CodePoints):
        codec = text_codec = encoder.make(Draft(draft, np.array(pieces), places[1]))
        edges = np.unique([*places, *documents])
        moved = _encode_draft(path, draft, text_codec, edges)
        places = list(moved[np.searchsorted(edges, places)])
        documents = np.append(moved[np.searchsorted(edges, documents)], moved[-1])
        has_tokens = np.diff(documents) > 0
        documents, labels = documents[:-1][has_tokens], list(itertools.compress(labels, has_tokens))
    del draft
    np.save(folder / DOCUMENTS_FILE, documents)
    if corpus.class_names is not None:
        if corpus.multi_label:  # one row of 0 and 1 per document
            labels = [np.isin(range(len(corpus.class_names)), label) for label in labels]
        label_dtype = np.uint8 if corpus.multi_label else np.int64
        np.save(folder / LABELS_FILE, np.array(labels, label_dtype))
    return codec, StoreMetadata(
        format_version=FORMAT_VERSION,
        fingerprint="",
        corpus=config.name,
        tokenizer=config.tokenizer_name,
        vocab_size=codec.vocab_size,
        num_tokens=int(places[-1]),
        num_documents=len(documents),
        dtype=codec.dtype,
        sha256=sha256_of(path),
        unit=codec.unit,
        splits={
            name: Split(start=int(start), stop=int(stop), num_units=units)
            for name, start, stop, units in zip(SPLITS, places, places[1:], num_units, strict=False)
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


def _encode(
    corpus: Corpus, encoder: Codec, dtype: np.dtype[Any], file: BinaryIO
) -> tuple[array.array[int], array.array[int], list[Any], dict[str | None, int]]:
    """Write the tokens; returns where documents and pieces start, the labels, and split starts."""
    starts, pieces = array.array("q"), array.array("q")
    labels: list[Any] = []
    firsts: dict[str | None, int] = {}
    for document in corpus.documents():
        start, num_pieces = file.tell(), len(pieces)
        _check_order(firsts, document.split)
        firsts.setdefault(document.split, start // dtype.itemsize)
        try:
            for piece in document.pieces:
                pieces.append(file.tell() // dtype.itemsize)
                file.write(np.ascontiguousarray(encoder.encode(piece), dtype=dtype).data)
        except UnreadableDocumentError:
            file.seek(start)
            file.truncate()
            del pieces[num_pieces:]
            continue
        if file.tell() > start:
            starts.append(start // dtype.itemsize)
            labels.append(document.label)
    return starts, pieces, labels, firsts


def _check_order(firsts: Mapping[str | None, int], split: str | None) -> None:
    order = list(firsts)
    if not order or order[-1] != split:
        order.append(split)
    if order not in ([None], [name for name in SPLITS if name in order]):
        raise ValueError(
            f"documents must name the splits {', '.join(SPLITS)} in this order, or none must, got "
            f"{', '.join(map(repr, order))}"
        )


def _encode_draft(
    path: Path, draft: NDArray[Any], codec: TextCodec, edges: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Replace a draft by the codec's tokens; returns where each edge of the draft is now."""
    dtype = np.dtype(codec.dtype).newbyteorder("<")
    partial, moved = path.with_name("tokens.final"), [0]
    with partial.open("wb") as file:
        for start, stop in itertools.pairwise(edges):
            for tokens in codec.encode_document(text_pieces(draft[start:stop])):
                file.write(np.ascontiguousarray(tokens, dtype=dtype).data)
            moved.append(file.tell() // dtype.itemsize)
    partial.replace(path)
    if not moved[-1]:
        raise UserError("the tokenizer makes no tokens of this corpus: use another tokenizer")
    return np.array(moved)


def _cut(
    firsts: Mapping[str | None, int],
    total: int,
    config: CorpusConfig,
    whole: NDArray[np.int64] | None,
) -> list[int]:
    """Where the splits begin and the last one ends; `whole` documents are not cut in two."""
    if None in firsts:
        # 1 − 0.05 − 0.05 is slightly below 0.9 and would miss text8's published borders.
        second = total - round(total * config.test)
        places = [second - round(total * config.validation), second]
    elif "train" not in firsts:
        raise UserError(f"the corpus has no training documents, only {', '.join(map(str, firsts))}")
    else:
        second = firsts.get("test", total)
        places = [firsts.get("validation", second - round(second * config.validation)), second]
    if whole is not None and "validation" not in firsts:
        borders = np.append(whole, total)
        places = [int(borders[np.abs(borders - place).argmin()]) for place in places]
    if not places[0]:
        raise UserError(
            "there is nothing to train on: the training split is empty; give it documents with "
            "content, or lower the shares of the other splits"
        )
    return [0, *places, total]


def _units(encoder: Codec, tokens: NDArray[Any]) -> dict[str, int]:
    """What the tokens of a split hold, counted in chunks."""
    total = Counter(encoder.units_of(tokens[:0]))
    for start in range(0, len(tokens), _CHUNK_TOKENS):
        total.update(encoder.units_of(tokens[start : start + _CHUNK_TOKENS]))
    return dict(total)
