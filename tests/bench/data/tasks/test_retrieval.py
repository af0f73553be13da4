import numpy as np
import pytest

from latentwave.bench.data.tasks.codecs import PairCodec
from latentwave.bench.data.tasks.retrieval import BookPairs, PairTables, PassageRules
from latentwave.errors import UserError


def read(corpus):
    return [(d.split, *d.pieces[0], d.label) for d in corpus.documents()]


def write_tables(folder, train="1.0\ta1\tb1\tone é\ttwo\n0.0\ta\tb\tthree\tfour\n"):
    for end, text in (("train", train), ("eval", "0\ta\tb\tc\td\n"), ("test", "1\ta\tb\te\tf\n")):
        (folder / f"new_aan_pairs.{end}.tsv").write_text(text)
    return folder


def test_published_tables(tmp_path):
    corpus = PairTables(write_tables(tmp_path))
    assert read(corpus) == [
        ("train", "one é".encode(), b"two", 1),
        ("train", b"three", b"four", 0),
        ("validation", b"c", b"d", 0),
        ("test", b"e", b"f", 1),
    ]
    assert [source.name for source in corpus.sources] == list(corpus.files)


@pytest.mark.parametrize("train", ["2\ta\tb\tc\td\n", "1\ta\tb\tc\n", "\n"])
def test_damaged_tables_are_named(tmp_path, train):
    with pytest.raises(UserError, match=r"train\.tsv, line 1: expected label"):
        read(PairTables(write_tables(tmp_path, train)))


def test_a_missing_table_is_named(tmp_path):
    (write_tables(tmp_path) / "new_aan_pairs.eval.tsv").unlink()
    with pytest.raises(UserError, match=r"0 files \*\.eval\.tsv"):
        PairTables(tmp_path)


def write_books(folder, count=10):
    for n in range(count):
        # Every byte tells its book, every place is different.
        text = b"".join(bytes([65 + n]) + f"{place:06d}".encode() for place in range(300))
        (folder / f"book{n}.txt").write_bytes(text)
    (folder / "short.txt").write_bytes(b"too short")
    return folder


def rules(**changes):
    values = {"num_train": 200, "num_validation": 20, "num_test": 20, "passage_bytes": 140}
    return PassageRules(**{**values, "validation": 0.2, "test": 0.2, **changes})


def book_of(passage):
    return {byte for byte in passage if byte >= 65}


def test_pairs_of_passages(tmp_path):
    rows = read(BookPairs(write_books(tmp_path), rules()))
    assert [s for s, *_ in rows] == ["train"] * 200 + ["validation"] * 20 + ["test"] * 20
    books = {}
    for split, first, second, label in rows:
        assert len(first) == len(second) == 140
        assert (book_of(first) == book_of(second)) == bool(label)
        books.setdefault(split, set()).update(book_of(first) | book_of(second))
    assert {split: len(some) for split, some in books.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert len(set.union(*books.values())) == 10  # no book in two splits
    assert sum(label for *_, label in rows) == 120


def test_related_passages_do_not_overlap(tmp_path):
    write_books(tmp_path)
    for _, first, second, label in read(BookPairs(tmp_path, rules(passage_bytes=700))):
        if label:
            text = (tmp_path / f"book{book_of(first).pop() - 65}.txt").read_bytes()
            assert abs(text.index(first) - text.index(second)) >= 700


def test_pairs_are_the_same_every_time_and_for_any_number(tmp_path):
    write_books(tmp_path)
    more = [r for r in read(BookPairs(tmp_path, rules(num_train=230))) if r[0] == "train"]
    some = [r for r in read(BookPairs(tmp_path, rules())) if r[0] == "train"]
    assert more[:200] == some
    other = read(BookPairs(tmp_path, rules(seed=1)))
    assert other[:200] != some


def test_too_few_books(tmp_path):
    with pytest.raises(UserError, match=r"leave 1 for validation, at least 2"):
        BookPairs(write_books(tmp_path), rules(validation=0.1))
    with pytest.raises(UserError, match="there is no folder"):
        BookPairs(tmp_path / "missing", rules())


def test_a_pair_is_written_as_two_texts(tmp_path):
    codec = PairCodec()
    tokens = codec.encode((b"one", b"two"))
    assert tokens.dtype == np.uint16
    assert codec.units_of(tokens) == {"byte": 6}
    codec.write(tokens, tmp_path / "pair.txt")
    assert (tmp_path / "pair.txt").read_bytes() == b"one\n\ntwo"
