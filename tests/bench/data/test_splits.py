"""Splits, labels and units of corpora that the tests make up."""

import dataclasses

import numpy as np
import pytest

from latentwave.bench.data import (
    CORPORA,
    Corpus,
    CorpusConfig,
    CorpusKind,
    Document,
    Source,
    UnreadableDocumentError,
    open_store,
    prepare,
)
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.errors import UserError


class MadeUp(Corpus):
    def __init__(self, documents, class_names=None, multi_label=False):
        super().__init__()
        self.made_up, self.class_names, self.multi_label = documents, class_names, multi_label

    def documents(self):
        self.sources = [Source(name="made up", num_bytes=0, sha256=repr(self.made_up))]
        yield from self.made_up


class OpaqueCodec(ByteCodec):
    """Its tokens do not tell how many units they hold: every piece is one event."""

    unit = "event"

    def num_units(self, piece):
        return 1

    def count_units(self, piece):
        return {"event": 1}

    def units_of(self, tokens):
        return None


@pytest.fixture
def make(monkeypatch, tmp_path):
    def build(documents, codec=ByteCodec, validation=0.25, test=0.25, **options):
        kind = CorpusKind(
            name="made-up",
            tokenizers=("bytes",),
            open=lambda _: MadeUp(documents, **options),
            codec=lambda config, corpus: codec(),
        )
        monkeypatch.setitem(CORPORA, "made-up", kind)
        config = CorpusConfig(name="made-up", validation=validation, test=test)
        return prepare(config, tmp_path / "store")

    return build


def doc(*pieces, **options):
    return Document(pieces=pieces, **options)


def contents(store):
    return [bytes(store.split(name)) for name in ("train", "validation", "test")]


def test_named_splits_stand(make):
    store = make(
        [
            doc("ab", "c", split="train"),
            doc("d", split="train"),
            doc("e", split="validation"),
            doc("é", split="test"),
        ]
    )
    assert contents(store) == [b"abcd", b"e", "é".encode()]
    assert store.metadata.splits["test"].num_units == {"byte": 2, "character": 1}
    assert store.spans("train").tolist() == [[0, 0, 3], [1, 3, 4]]
    assert store.spans("test").tolist() == [[3, 0, 2]]


def test_a_missing_validation_split_is_cut_off_the_training_tokens(make):
    store = make([doc("abcdefgh", split="train"), doc("xy", split="test")])
    assert contents(store) == [b"abcdef", b"gh", b"xy"]
    assert store.spans("validation").tolist() == [[0, 0, 2]]


def test_borders_move_to_the_end_of_a_piece_where_tokens_do_not_tell(make):
    pieces = ["ab"] * 8000
    store = make([doc(*pieces)], OpaqueCodec)
    for name, split in store.metadata.splits.items():
        assert split.num_units == {"event": split.num_tokens // 2}, name
        assert split.start % 2 == 0
    assert abs(store.metadata.splits["train"].num_tokens - 8000) <= 4096


def test_units_are_exact_wherever_the_border_falls(make):
    text = "aé—🙂" * 5000
    store = make([doc(text[:777], text[777:30000]), doc(text[30000:])], validation=0.3, test=0.123)
    for name, split in store.metadata.splits.items():
        raw = bytes(store.split(name))
        leading = sum(byte & 0xC0 != 0x80 for byte in raw)
        assert split.num_units == {"byte": len(raw), "character": leading}


def test_labels_are_kept_and_documents_not_cut(make, tmp_path):
    documents = [doc("abcd", label=1), doc("efg", label=0), doc(label=0), doc("h", label=1)]
    store = make(documents, class_names=("cat", "dog"))
    assert store.labels.tolist() == [1, 0, 1]
    assert store.metadata.class_names == ("cat", "dog")
    assert store.metadata.num_classes == 2
    assert contents(store) == [b"abcd", b"efg", b"h"]
    assert open_store(store.folder) == store
    (store.folder / "labels.npy").unlink()
    with pytest.raises(UserError, match=r"labels\.npy cannot be read"):
        open_store(store.folder)


def test_several_labels_per_document(make):
    documents = [doc("ab", label=(2, 0)), doc("cd", label=()), doc("ef", label=(1,))]
    store = make(documents, class_names=("x", "y", "z"), multi_label=True)
    assert store.labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def failing(*pieces):
    yield from pieces
    raise UnreadableDocumentError("torn page")


def test_unreadable_documents_are_taken_back(make):
    documents = [
        doc("ab", split="train"),
        Document(pieces=failing("x" * 9000, "y" * 9000), split="train"),
        doc("c", split="train"),
        Document(pieces=failing("z"), split="validation"),
        doc("d", split="validation"),
        doc("e", split="test"),
    ]
    store = make(documents)
    assert contents(store) == [b"abc", b"d", b"e"]
    assert store.metadata.splits["train"].num_units == {"byte": 3, "character": 3}
    assert store.documents.tolist() == [0, 2, 3, 4]
    store.verify()


def test_nothing_readable_is_refused(make):
    with pytest.raises(UserError, match="torn page"):
        make([Document(pieces=failing("x"))])
    with pytest.raises(UserError, match="none of 2 documents can be read; the first: torn page"):
        make([Document(pieces=failing("x")), Document(pieces=failing())])
    with pytest.raises(UserError, match="the corpus is empty"):
        make([doc("", "")])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", None], "must name a split, or none"),
        ([None, "train"], "must name a split, or none"),
        (["train", "test", "train"], "must follow each other"),
        (["test", "train"], "'train' must come before test"),
        (["dev"], "must be one of train, validation, test, got 'dev'"),
    ],
)
def test_splits_out_of_order_are_refused(make, splits, message):
    with pytest.raises(ValueError, match=message):
        make([doc("abc", split=split) for split in splits])


def test_a_corpus_without_training_documents_is_refused(make):
    with pytest.raises(UserError, match="no training documents, only test"):
        make([doc("abc", split="test")])


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (None, {"class_names": ("a",)}, "must be one class index, got None"),
        ((0,), {"class_names": ("a",)}, "must be one class index"),
        (0, {"class_names": ("a",), "multi_label": True}, "a tuple of class indices, got 0"),
        (1, {"class_names": ("a",)}, r"in \[0, 1\), got 1"),
        (0, {}, "without class names"),
    ],
)
def test_labels_that_do_not_fit_are_refused(make, label, options, message):
    with pytest.raises(ValueError, match=message):
        make([doc("abc", label=label)], **options)


def test_a_corpus_without_files_is_read_again_each_time(make):
    store = make([doc("abcd")])
    assert make([doc("abcd")]) == store
    with pytest.raises(UserError, match="of changed sources"):
        make([doc("abcx")])


def test_bits_of_an_empty_split(make):
    store = make([doc("abcd")], validation=0.0, test=0.0)
    assert store.bits_per_unit(1.0, "test") == {}
    assert np.isclose(store.bits_per_unit(np.log(2), "train")["byte"], 1.0)
    assert dataclasses.asdict(store.metadata)["splits"]["train"]["num_units"]["byte"] == 4
