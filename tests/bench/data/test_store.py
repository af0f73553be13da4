import json
import pickle

import numpy as np
import pytest

from latentwave.bench.data import open_store
from latentwave.errors import UserError


def edit(store, **changes):
    path = store.folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_open_gives_what_prepare_gave(store):
    opened = open_store(str(store.folder), verify=True)
    assert opened == store
    np.testing.assert_array_equal(opened.split("train"), store.split("train"))
    assert pickle.loads(pickle.dumps(opened)) == store  # noqa: S301


def test_tokens_are_mapped_and_read_only(store):
    for name in ("train", "validation", "test"):
        tokens = store.split(name)
        assert isinstance(tokens, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            tokens[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        store.documents[0] = 1


def test_unknown_split(store):
    with pytest.raises(UserError, match="no split 'dev'; it has: train, validation, test"):
        store.split("dev")


def test_unknown_character(store):
    with pytest.raises(UserError, match=r"'Q' \(U\+0051\) at position 3"):
        store.encode_text("be Q")


def test_a_changed_byte_is_found(store):
    path = store.folder / "tokens.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    open_store(store.folder)
    with pytest.raises(UserError, match=r"tokens\.bin has changed .*prepare the corpus again"):
        open_store(store.folder, verify=True)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_wrong_length_is_found(store, change):
    path = store.folder / "tokens.bin"
    content = path.read_bytes()
    path.write_bytes((content + b"\0")[: len(content) + change])
    expected = rf"has {len(content) + change} bytes, but {len(content)} were written"
    with pytest.raises(UserError, match=expected):
        open_store(store.folder)


def test_missing_parts_are_found(store, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no token store \(no metadata\.json\)"):
        open_store(tmp_path)
    for name, message in [
        ("documents.npy", r"documents\.npy cannot be read"),
        ("tokens.bin", r"has 0 bytes"),
        ("metadata.json", r"holds no token store"),
    ]:
        (store.folder / name).unlink()
        with pytest.raises(UserError, match=message):
            open_store(store.folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format_version": 2}', "\udcff"])
def test_damaged_metadata_is_found(store, content):
    path = store.folder / "metadata.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"metadata\.json is damaged .*prepare the corpus again"):
        open_store(store.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, r"has format version 1, this program reads version 2"),
        ({"dtype": "float32"}, r"damaged .*float32"),
        ({"num_tokens": "9"}, r"damaged .*num_tokens must be int, got '9'"),
        (
            {"splits": {"train": {"start": 0, "stop": 10**9, "num_units": {"character": 1}}}},
            r"damaged .*'train'",
        ),
        (
            {"splits": {"train": {"start": 0, "stop": 1, "num_units": {}}}},
            r"damaged .*'train' does not count its characters",
        ),
        ({"multi_label": 0}, r"damaged .*multi_label must be bool, got 0"),
        ({"splits": [1]}, r"damaged"),
        ({"provenance": None}, r"damaged"),
        ({"extra": 1}, r"damaged .*extra"),
        ({"num_documents": 2}, r"documents\.npy does not fit"),
        ({"num_tokens": 5, "splits": {}}, r"but 5 were written"),
    ],
)
def test_metadata_that_does_not_fit_is_found(store, changes, message):
    edit(store, **changes)
    with pytest.raises(UserError, match=message):
        open_store(store.folder)
