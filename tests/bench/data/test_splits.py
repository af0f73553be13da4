"""Which document goes into which split, labels and units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.bench.data import Document, UnreadableDocumentError, open_store
from latentwave.bench.data.splits import choose_splits, deal
from latentwave.errors import UserError

sizes = st.dictionaries(st.text("abcdef", min_size=1, max_size=5), st.integers(1, 1000), min_size=3)
shares = st.floats(0.01, 0.3)


@given(sizes=sizes, validation=shares, test=shares)
def test_every_group_has_one_split_and_every_split_a_group(sizes, validation, test):
    splits = deal(sizes, validation=validation, test=test)
    assert splits.keys() == sizes.keys()
    assert set(splits.values()) == {"train", "validation", "test"}
    assert deal(dict(reversed(sizes.items())), validation=validation, test=test) == splits
    empty = dict.fromkeys(("nothing", "void"), 0)
    with_empty = deal(empty | sizes, validation=validation, test=test)
    assert with_empty == splits | dict.fromkeys(empty, "train")


def test_the_shares_are_met_where_groups_are_small():
    sizes = {f"piece {i}": 1 + i % 7 for i in range(1000)}
    splits = deal(sizes, validation=0.05, test=0.1)
    for split, share in {"validation": 0.05, "test": 0.1}.items():
        got = sum(sizes[name] for name, where in splits.items() if where == split)
        assert got / sum(sizes.values()) == pytest.approx(share, abs=0.002)
    splits = deal(dict.fromkeys("abc", 1), validation=0.3, test=0.0)
    assert sorted(splits.values()) == ["train", "train", "validation"]
    with pytest.raises(UserError, match="too few for 3 splits"):
        deal(dict.fromkeys("ab", 1), validation=0.1, test=0.1)


@pytest.fixture
def chosen(tmp_path):
    def choose(names, by=None, default="tokens"):
        files = {name: tmp_path / name for name in names}
        return choose_splits(files, by, default=default, validation=0.2, test=0.2)

    return choose


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"], "train validation test"),
        (["train/a", "train/b", "valid/a", "test/x/y"], "train train validation test"),
        (["train-0.jsonl", "train-1.jsonl", "dev.jsonl"], "train train validation"),
        (["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"], "train test"),
        (["Test/1.mid", "TRAIN/1.mid"], "test train"),
        (["dataset_train.csv", "dataset_test.csv"], "train test"),
        (["citations.train.txt", "citations.dev.txt"], "train validation"),
        (["latest.txt", "contest.txt"], None),
        (["train/a.txt", "train/b.txt"], None),
        (["train.py", "test_a.py", "b.py", "c.py", "d.py"], None),
    ],
)
def test_names_decide(chosen, names, expected):
    found = chosen(names)
    assert found == (expected and dict(zip(names, expected.split(), strict=True)))
    assert chosen(names, "tokens") is None
    assert chosen([*names, "README.md", "sub/LICENSE"]) == found


def test_names_that_decide_by_half_are_an_error(chosen):
    names = ["ptb.train.txt", "ptb.test.txt", "more.txt"]
    for by in (None, "name"):
        with pytest.raises(UserError, match=r"2 of 3 files are named .* not more\.txt: .*split_by"):
            chosen(names, by)
    assert chosen(names, "tokens") is None
    with pytest.raises(UserError, match="0 of 1 files"):
        chosen(["a"], "name")


def test_files_and_folders_stay_whole(tmp_path, chosen):
    names = [f"piece{p}/{take}.mid" for p in range(12) for take in range(1 + p % 4)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(100))
    by_folder = {(name.split("/")[0], split) for name, split in chosen(names, "folder").items()}
    assert len(by_folder) == 12
    assert len(set(chosen(names, default="file").values())) == 3


def doc(*pieces, **options):
    return Document(pieces=pieces, **options)


def contents(store):
    return [bytes(store.split(name)) for name in ("train", "validation", "test")]


def test_named_splits_stand(make):
    train = [doc("ab", "c", split="train"), doc("d", split="train")]
    store = make([*train, doc("e", split="validation"), doc("é", split="test")])
    assert contents(store) == [b"abcd", b"e", "é".encode()]
    assert store.metadata.splits["test"].num_units == {"byte": 2, "character": 1}
    assert store.spans("train").tolist() == [[0, 0, 3], [1, 3, 4]]
    assert store.spans("test").tolist() == [[3, 0, 2]]


def test_a_missing_validation_split_is_cut_off_the_training_tokens(make):
    store = make([doc("abcdefgh", split="train"), doc("xy", split="test")])
    assert contents(store) == [b"abcdef", b"gh", b"xy"]
    assert store.spans("validation").tolist() == [[0, 0, 2]]


def test_an_empty_split_inside_a_document_has_no_documents(make):
    store = make([doc("abcdefgh")], validation=0.0)
    spans = [store.spans(split).tolist() for split in store.metadata.splits]
    assert spans == [[[0, 0, 6]], [], [[0, 0, 2]]]


def test_units_are_exact_wherever_the_border_falls(make):
    text = "aé—🙂" * 25_000
    store = make([doc(text[:777], text[777:30000]), doc(text[30000:])], validation=0.3, test=0.123)
    for name, split in store.metadata.splits.items():
        raw = bytes(store.split(name))
        leading = sum(byte & 0xC0 != 0x80 for byte in raw)
        assert split.num_units == {"byte": len(raw), "character": leading}
    assert store.bits_per_unit(np.log(2), "train")["byte"] == pytest.approx(1.0)


def test_labels_are_kept_and_documents_not_cut(make):
    documents = [doc("abcd", label=1), doc("efg", label=0), doc(label=0), doc("h", label=1)]
    store = make(documents, class_names=("cat", "dog"))
    assert store.labels.tolist() == [1, 0, 1]
    assert store.metadata.class_names == ("cat", "dog")
    assert store.metadata.num_classes == 2
    assert contents(store) == [b"abcd", b"efg", b"h"]
    assert open_store(store.folder) == store


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


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([Document(pieces=failing("x"))], "is empty: name a file"),
        ([doc("", "")], "is empty: name a file"),
        ([doc("abc", split="test")], "no training documents, only test"),
        ([doc("", split="train"), doc("a", split="test")], "the training split is empty"),
        ([doc("a", split="train"), doc("b")], "or none must, got 'train', None"),
        ([doc("a", split="test"), doc("a", split="train")], "must name the splits train, val"),
    ],
)
def test_documents_that_do_not_fit_are_refused(make, documents, message):
    with pytest.raises(ValueError, match=message):
        make(documents)


def test_a_corpus_without_files_is_read_again_each_time(make):
    store = make([doc("abcd")], validation=0.0, test=0.0)
    assert make([doc("abcd")], validation=0.0, test=0.0) == store
    assert store.bits_per_unit(1.0, "test") == {}
    with pytest.raises(UserError, match="of changed sources"):
        make([doc("abcx")], validation=0.0, test=0.0)
