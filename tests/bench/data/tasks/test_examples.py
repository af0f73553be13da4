import pickle

import numpy as np
import pytest
import torch

from latentwave.bench.data.tasks import (
    EvenExamples,
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
)
from latentwave.errors import UserError


def examples(lengths=(3, 5, 2, 4), labels=None, dtype=np.uint8, **options):
    starts = np.cumsum([0, *lengths])[:-1]
    labels = np.arange(len(lengths)) if labels is None else labels
    tokens = np.arange(sum(lengths)).astype(dtype)
    return LabelledExamples(tokens, starts, labels, **{"max_tokens": 8, **options})


def ids(dataset):
    return [dataset[i]["input_ids"].tolist() for i in range(len(dataset))]


def test_documents_are_cut_to_length():
    assert ids(examples()) == [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9], [10, 11, 12, 13]]
    assert ids(examples(max_tokens=3)) == [[0, 1, 2], [3, 4, 5], [8, 9], [10, 11, 12]]
    assert examples(max_tokens=3).lengths.tolist() == [3, 3, 2, 3]
    with pytest.raises(IndexError):
        examples()[4]


def test_pairs_keep_both_beginnings():
    def cut(first, second, longest):
        tokens = np.array([1] * first + [9] + [2] * second)
        pair = LabelledExamples(
            tokens, np.array([0]), np.array([1]), max_tokens=longest, separator=9
        )
        found = pair[0]["input_ids"].tolist()
        assert found == sorted(found[: found.index(9)]) + [9] + [2] * (
            len(found) - found.index(9) - 1
        )
        return found.index(9), len(found) - found.index(9) - 1

    assert cut(10, 10, 11) == (5, 5)
    assert cut(3, 10, 11) == (3, 7)
    assert cut(10, 2, 11) == (8, 2)
    assert cut(2, 2, 11) == (2, 2)
    assert cut(10, 10, 12) == (5, 6)


def test_samples_become_signals_and_several_labels_probabilities():
    item = examples((2,), np.array([[0, 1, 1]], dtype=np.uint8), np.int16)[0]
    assert item["input_values"].tolist() == [0.0, 1 / 32768]
    assert item["labels"].dtype == torch.float32
    assert item["labels"].tolist() == [0.0, 1.0, 1.0]


def test_every_epoch_is_a_shuffle_of_its_own():
    shuffled = ShuffledExamples(examples((1,) * 50), 150, seed=0)
    order = [int(shuffled[i]["labels"]) for i in range(150)]
    epochs = order[:50], order[50:100], order[100:]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Item by item, in any order, from another process, whatever the length.
    again = pickle.loads(pickle.dumps(ShuffledExamples(examples((1,) * 50), 300, seed=0)))  # noqa: S301
    assert [int(again[i]["labels"]) for i in reversed(range(150))] == order[::-1]
    other = ShuffledExamples(examples((1,) * 50), 150, seed=1)
    assert [int(other[i]["labels"]) for i in range(50)] != epochs[0]


def test_workers_map_the_file_again(tmp_path):
    np.arange(10_000, dtype="<u2").tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", dtype="<u2", mode="r")
    mapped = LabelledExamples(tokens, np.array([0, 6000]), np.array([0, 1]), max_tokens=5)
    content = pickle.dumps(mapped)
    assert len(content) < 2000
    again = pickle.loads(content)  # noqa: S301
    assert again[1]["input_ids"].tolist() == [6000, 6001, 6002, 6003, 6004]


def test_even_examples_are_spread_over_the_split():
    assert [
        int(e["labels"]) for e in (EvenExamples(examples((1,) * 9), 3)[i] for i in range(3))
    ] == [
        0,
        3,
        6,
    ]
    assert len(EvenExamples(examples(), None)) == len(EvenExamples(examples(), 100)) == 4


def test_batches_are_padded_to_their_longest():
    data = examples()
    batch = PadExamples(pad_token=99)([data[0], data[2]])
    assert batch["input_ids"].tolist() == [[0, 1, 2], [8, 9, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [0, 2]
    sounds = examples(dtype=np.int16)
    batch = PadExamples(min_length=6)([sounds[0], sounds[2]])
    assert batch["input_values"].shape == (2, 6)
    assert batch["input_values"][1, 2:].tolist() == [0.0] * 4
    assert batch["attention_mask"].sum(1).tolist() == [3, 2]


@pytest.mark.unchecked
def test_what_cannot_be_examples():
    with pytest.raises(UserError, match="no labelled documents"):
        examples((), np.array([]))
    with pytest.raises(UserError, match="document 1 of the split is empty"):
        examples((2, 0, 1))
    with pytest.raises(ValueError, match="4 documents have 3 labels"):
        examples(labels=np.arange(3))
