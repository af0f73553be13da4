"""The labels of a store's documents."""

from __future__ import annotations

import array
from pathlib import Path

import numpy as np

from latentwave.bench.data.corpus import Corpus, Document

LABELS_FILE = "labels.npy"


class Labels:
    """Collects a label per document, and writes them.

    `labels.npy` holds the index of each document's class, (num_documents,) int64; for multi-label
    corpora (num_documents, num_classes) uint8, 1 for every class of the document.

    Args:
        corpus: with class names; without them there are no labels.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._names = corpus.class_names
        self._multi = corpus.multi_label
        self._values = array.array("q" if not self._multi else "B")

    def add(self, document: Document) -> None:
        """Take in a document's label.

        Raises:
            ValueError: if it does not fit the corpus's classes.
        """
        label = document.label
        if self._names is None:
            if label is not None:
                raise ValueError(f"a corpus without class names has a document of label {label}")
            return
        if self._multi != isinstance(label, tuple) or label is None:
            wanted = "a tuple of class indices" if self._multi else "one class index"
            raise ValueError(f"label must be {wanted}, got {label!r}")
        chosen = label if isinstance(label, tuple) else (label,)
        if not all(0 <= index < len(self._names) for index in chosen):
            raise ValueError(f"label must be in [0, {len(self._names)}), got {label}")
        if self._multi:
            row = bytearray(len(self._names))
            for index in chosen:
                row[index] = 1
            self._values.frombytes(bytes(row))
        else:
            self._values.append(chosen[0])

    def save(self, folder: Path) -> None:
        """Write `labels.npy`, if there are labels."""
        if self._names is None:
            return
        labels = np.array(self._values, dtype=np.uint8 if self._multi else np.int64)
        if self._multi:
            labels = labels.reshape(-1, len(self._names))
        np.save(folder / LABELS_FILE, labels)
