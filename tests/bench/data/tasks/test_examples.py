import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentwave.bench.data import CorpusConfig, TokenStore, prepare
from latentwave.bench.data.tasks.examples import (
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
    even_indices,
)
from latentwave.errors import UserError
from tests.bench.data.tasks import made


class Store(TokenStore):
    """Documents of some lengths, whose tokens count on."""

    labels = None

    def __init__(self, lengths=(3, 5, 2, 4), dtype=np.uint8, tokens=None, **others):
        tokens = np.arange(sum(lengths)) if tokens is None else tokens
        labels = np.arange(len(lengths))
        metadata = SimpleNamespace(corpus="counting")
        edges = np.cumsum([0, *lengths])
        self.__dict__ |= {
            "_lengths": lengths,
            "folder": None,
            "metadata": metadata,
            "labels": labels,
            **others,
        }
        self.__dict__ |= {"split": lambda _: tokens.astype(dtype)}
        spans = np.stack([labels, edges[:-1], edges[1:]], axis=1)
        self.__dict__ |= {"spans": lambda _: spans}

    def __reduce__(self):
        return Store, (self._lengths,)


def examples(*arguments, max_tokens=8, **options):
    return LabelledExamples(Store(*arguments, **options), "train", max_tokens)


def ids(dataset):
    return [dataset[i]["input_ids"].tolist() for i in range(len(dataset))]


def test_documents_are_cut_to_length():
    assert ids(examples()) == [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9], [10, 11, 12, 13]]
    assert ids(examples(max_tokens=3)) == [[0, 1, 2], [3, 4, 5], [8, 9], [10, 11, 12]]
    assert examples(max_tokens=3).lengths.tolist() == [3, 3, 2, 3]


def test_samples_become_signals_and_several_labels_probabilities():
    item = examples((2,), np.int16, labels=np.array([[0, 1, 1]], dtype=np.uint8))[0]
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


def test_workers_map_the_file_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
    store = prepare(CorpusConfig(name="listops", **made.DRAWN | {"num_train": 1000}))
    mapped = LabelledExamples(store, "train", 20)
    content = pickle.dumps(mapped)
    assert len(content) < 4000 < len(store.split("train"))
    again = pickle.loads(content)  # noqa: S301
    assert again[5]["input_ids"].tolist() == mapped[5]["input_ids"].tolist()


def test_even_examples_are_spread_over_the_split():
    assert even_indices(9, 3) == [0, 3, 6]
    assert even_indices(4, None) == even_indices(4, 100) == [0, 1, 2, 3]


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


def test_a_split_without_documents_is_refused():
    with pytest.raises(UserError, match="train split of 'counting' has no documents"):
        examples(())
