import dataclasses
import itertools
import pickle

import numpy as np
import pytest
import torch

from latentwave.bench.data import Document
from latentwave.bench.data.tasks.examples import (
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
    even_indices,
)
from latentwave.errors import UserError


@pytest.fixture
def examples(make):
    """Documents of some lengths, whose tokens count on, labelled by their numbers."""

    def build(lengths=(3, 5, 2, 4), tokenizer="bytes", max_tokens=8, labels=None, **options):
        documents, stop = [], 0
        for length, label in zip(lengths, labels or itertools.count(), strict=False):
            start, stop = stop, stop + length
            piece = np.arange(start, stop, dtype=np.float32) / 32767
            if tokenizer == "bytes":
                piece = bytes(range(start, stop))
            documents.append(Document(pieces=(piece,), label=label))
        names = tuple(map(str, range(max(2, len(lengths)))))
        store = make(documents, tokenizer, 0.0, 0.0, class_names=names, **options)
        return LabelledExamples(store, "train", max_tokens)

    return build


def ids(dataset):
    return [dataset[i]["input_ids"].tolist() for i in range(len(dataset))]


def test_documents_are_cut_to_length(examples):
    found = examples(max_tokens=3)
    assert ids(found) == [[0, 1, 2], [3, 4, 5], [8, 9], [10, 11, 12]]
    assert found.lengths.tolist() == [3, 3, 2, 3]
    assert ids(examples(max_tokens=1)) == [[0], [3], [8], [10]]


def test_samples_become_signals_and_several_labels_probabilities(examples):
    item = examples((2,), "samples", labels=[(1,)], multi_label=True)[0]
    assert item["input_values"].tolist() == [0.0, 1 / 32768]
    assert item["labels"].dtype == torch.float32
    assert item["labels"].tolist() == [0.0, 1.0]


def test_every_epoch_is_a_shuffle_of_its_own(examples):
    found = examples((1,) * 50)
    shuffled = ShuffledExamples(found, 150, seed=0)
    order = [int(shuffled[i]["labels"]) for i in range(150)]
    epochs = order[:50], order[50:100], order[100:]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Item by item, in any order, from another process, whatever the length.
    again = pickle.loads(pickle.dumps(ShuffledExamples(found, 300, seed=0)))  # noqa: S301
    assert [int(again[i]["labels"]) for i in reversed(range(150))] == order[::-1]
    other = ShuffledExamples(found, 150, seed=1)
    assert [int(other[i]["labels"]) for i in range(50)] != epochs[0]


def test_even_examples_are_spread_over_the_split():
    assert even_indices(9, 3) == [0, 3, 6]
    assert even_indices(4, None) == even_indices(4, 100) == [0, 1, 2, 3]


def test_batches_are_padded_to_their_longest(examples):
    data = examples()
    batch = PadExamples(pad_token=99)([data[0], data[2]])
    assert batch["input_ids"].tolist() == [[0, 1, 2], [8, 9, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [0, 2]


def test_batches_of_sound_have_a_least_length(examples):
    sounds = examples(tokenizer="samples")
    batch = PadExamples(min_length=6)([sounds[0], sounds[2]])
    assert batch["input_values"].shape == (2, 6)
    assert batch["input_values"][1, 2:].tolist() == [0.0] * 4
    assert batch["attention_mask"].sum(1).tolist() == [3, 2]


def test_a_split_without_documents_is_refused(labelled_store):
    empty = dataclasses.replace(labelled_store.metadata.splits["test"], start=8, stop=8)
    labelled_store.metadata.splits["test"] = empty
    with pytest.raises(UserError, match="test split of 'made-up' has no documents"):
        LabelledExamples(labelled_store, "test", 8)
