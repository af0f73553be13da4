import gzip
import zipfile

import pytest

from latentwave.bench.data.tasks.reviews import ReviewFolders, ReviewTables
from latentwave.bench.data.tasks.trees import FileTree
from latentwave.errors import UserError


def read(corpus):
    return [(d.split, d.pieces[0], d.label) for d in corpus.documents()]


def write_acl_imdb(folder, count=10):
    for split in ("train", "test"):
        for label in ("pos", "neg", "unsup"):
            (folder / split / label).mkdir(parents=True)
            for n in range(count):
                (folder / split / label / f"{n}_7.txt").write_bytes(f"{split} {label} {n}".encode())
    (folder / "imdb.vocab").write_text("the\nand\n")
    (folder / "README").write_text("read me")
    return folder


def test_the_folders_of_acl_imdb(tmp_path):
    corpus = ReviewFolders(write_acl_imdb(tmp_path / "aclImdb"), 0.2, 0.3)
    rows = read(corpus)
    splits = [split for split, _, _ in rows]
    assert splits == ["train"] * 16 + ["validation"] * 4 + ["test"] * 20
    # The published test stays whole, and nothing is labelled but pos and neg.
    assert all(text.startswith(b"test") == (split == "test") for split, text, _ in rows)
    assert all((b" pos " in text) == (label == 1) for _, text, label in rows)
    assert not any(b"unsup" in text for _, text, _ in rows)
    assert rows == read(corpus)
    assert len({text for _, text, _ in rows}) == 40
    assert [source.name for source in corpus.sources] == sorted(corpus.files)


def write_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_an_archive_without_splits_is_read_in_place(tmp_path):
    names = [f"movie_reviews/{label}/cv{n}.txt" for label in ("neg", "pos") for n in range(10)]
    names += ["movie_reviews/README", "__MACOSX/movie_reviews/pos/cv1.txt"]
    corpus = ReviewFolders(write_zip(tmp_path / "movies.zip", names), 0.1, 0.2)
    rows = read(corpus)
    assert [s for s, _, _ in rows] == ["train"] * 14 + ["validation"] * 2 + ["test"] * 4
    assert len({text for _, text, _ in rows}) == 20
    assert list(tmp_path.iterdir()) == [tmp_path / "movies.zip"]
    assert [source.name for source in corpus.sources] == ["movies.zip"] == list(corpus.files)


def test_members_cannot_leave_the_archive(tmp_path):
    (tmp_path / "inner").mkdir()
    names = ["pos/1.txt", "neg/1.txt", "../pos/escaped.txt"]
    rows = read(ReviewFolders(write_zip(tmp_path / "inner" / "bad.zip", names), 0.0, 0.0))
    assert len(rows) == 2
    assert not (tmp_path / "pos").exists()


def test_a_member_larger_than_it_says_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("latentwave.bench.data.tasks.trees.MAX_FILE_BYTES", 5)
    tree = FileTree(write_zip(tmp_path / "large.zip", ["pos/1.txt"]))
    with pytest.raises(UserError, match="more than 5 bytes"):
        tree.read("pos/1.txt")


def test_a_damaged_member_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["pos/1.txt"])
    content = bytearray(path.read_bytes())
    content[content.index(b"pos/1.txt", 20) + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read pos/1.txt in .*a\.zip"):
        FileTree(path).read("pos/1.txt")


def test_where_nothing_can_be_read(tmp_path):
    with pytest.raises(UserError, match="no folder or zip archive"):
        ReviewFolders(tmp_path / "missing", 0.1, 0.1)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UserError, match="neither a folder nor a whole zip"):
        ReviewFolders(tmp_path / "text.zip", 0.1, 0.1)
    with pytest.raises(UserError, match="holds no reviews"):
        ReviewFolders(tmp_path, 0.1, 0.1)
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "1.txt").write_text("good")
    with pytest.raises(UserError, match="positive reviews only"):
        ReviewFolders(tmp_path, 0.0, 0.0)


def write_tables(folder, *, packed, train=None):
    opener = gzip.open if packed else open
    end = ".tsv.gz" if packed else ".tsv"
    train = train or "".join(f"{n % 2}\t7\t{n}\tfilm é {n}\n" for n in range(20))
    for name, text in (("train", train), ("test", "1\t9\t0\tbest\twith a tab\r\n")):
        with opener(folder / f"{name}{end}", "wb") as file:
            file.write(text.encode())
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_tables(tmp_path, packed):
    corpus = ReviewTables(write_tables(tmp_path, packed=packed), 0.25)
    rows = read(corpus)
    assert [s for s, _, _ in rows] == ["train"] * 15 + ["validation"] * 5 + ["test"]
    texts = {text: label for _, text, label in rows}
    assert texts["film é 3".encode()] == 1
    assert texts["film é 4".encode()] == 0
    assert texts[b"best\twith a tab"] == 1
    assert rows == read(corpus)
    assert [source.name for source in corpus.sources] == list(corpus.files)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("2\t7\t0\ttext\n", r"line 1: expected label \(0 or 1\)"),
        ("1\t7\t0\ttext\n1\tshort\n", "line 2: expected label"),
        ("1\t7\t0\ttext\n1\t7\t0\ttext\n", "positive reviews only"),
    ],
)
def test_damaged_tables_are_named(tmp_path, train, message):
    with pytest.raises(UserError, match=message):
        read(ReviewTables(write_tables(tmp_path, packed=False, train=train), 0.0))


def test_a_cut_off_table_is_named(tmp_path):
    path = write_tables(tmp_path, packed=True) / "train.tsv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cannot read .*train\.tsv\.gz"):
        read(ReviewTables(tmp_path, 0.1))
    path.unlink()
    with pytest.raises(UserError, match=r"neither train\.tsv nor train\.tsv\.gz"):
        ReviewTables(tmp_path, 0.1)
