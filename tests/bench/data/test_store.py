"""Stores are opened as they were written, and damage to any of their files is found."""

import json
import os
import pickle

import numpy as np
import pytest

from latentwave.bench.data import load_codec, open_store
from latentwave.errors import UserError

JSON_FILES = ("metadata.json", "codec.json", "tokenizer.json")
FILES = (*JSON_FILES, "documents.npy", "labels.npy", "tokens.bin")
DEEP = b"[" * 100_000 + b"]" * 100_000


def test_open_gives_what_prepare_gave(store):
    opened = open_store(str(store.folder))
    assert opened == store
    np.testing.assert_array_equal(opened.split("train"), store.split("train"))
    assert pickle.loads(pickle.dumps(opened)) == store  # noqa: S301


def test_tokens_are_mapped_and_read_only(store):
    for name in ("train", "validation", "test"):
        assert isinstance(store.split(name), np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            store.split(name)[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        store.documents[0] = 1


def test_what_is_not_there_is_named(store, tmp_path):
    with pytest.raises(UserError, match="no split 'dev'; it has: train, validation, test"):
        store.split("dev")
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no token store \(no metadata\.json\)"):
        open_store(tmp_path)


@pytest.mark.parametrize("kind", ["words", []])
def test_an_unknown_codec_is_named(store, kind):
    (store.folder / "codec.json").write_text(json.dumps({"kind": kind}))
    with pytest.raises(UserError, match=r"names an unknown codec .*; known are: characters, "):
        load_codec(store.folder)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("how", ["missing", "cut", "deep", "list", "pipe"])
@pytest.mark.parametrize("name", FILES)
def test_any_damage_to_any_file_is_one_line(labelled_store, name, how):
    folder = labelled_store.folder
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how == "pipe":
        os.mkfifo(path)
    elif how != "missing":
        path.write_bytes({"cut": content[:-3], "deep": DEEP, "list": b"[]"}[how])

    def read_all():
        open_store(folder)
        load_codec(folder)

    with pytest.raises(UserError, match=str(folder)) as refused:
        read_all()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("documents.npy", np.zeros(1, np.float64)),
        ("documents.npy", np.array([[0], [1]])),
        ("documents.npy", np.array([5, 1, 2])),
        ("documents.npy", np.array([1, 2, 3])),
        ("labels.npy", np.array([0, 1, 7])),
        ("labels.npy", np.array([[0, 1], [1, 0], [1, 1]])),
        ("labels.npy", np.array([0.0, 1.0, 0.0])),
    ],
)
def test_arrays_that_do_not_fit_are_found(labelled_store, name, array):
    np.save(labelled_store.folder / name, array)
    with pytest.raises(UserError, match=rf"{name} is damaged .*prepare the corpus again"):
        open_store(labelled_store.folder)


def train(stop, **num_units):
    return {"start": 0, "stop": stop, "num_units": num_units}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, r"has format version 1, this program reads version 3"),
        ({"dtype": "float32"}, r"damaged .*float32"),
        ({"num_tokens": "9"}, r"damaged .*num_tokens"),
        ({"num_documents": 2}, r"documents\.npy is damaged"),
        ({"num_tokens": 5, "splits": {}}, r"but 5 were written"),
        ({"splits": {"train": train(10**9, character=1)}}, r"damaged .*'train' is \[0, 1000000000"),
        ({"splits": {"train": train(1)}}, r"damaged .*'train' does not count its characters"),
    ],
)
def test_metadata_that_does_not_fit_is_found(store, changes, message):
    path = store.folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=message):
        open_store(store.folder)
