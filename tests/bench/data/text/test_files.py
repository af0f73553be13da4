import hashlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentwave.bench.data import CorpusConfig, UnreadableDocumentError, prepare
from latentwave.bench.data.text.files import TextFiles
from latentwave.bench.data.text.reading import read_text
from latentwave.errors import UserError


def joined(corpus):
    texts = []
    for document in corpus.documents():
        try:
            texts.append("".join(document.pieces))
        except UnreadableDocumentError:
            continue
    return [text for text in texts if text]


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet="a\r\n é🙂\ufeff", max_size=40), chunk_bytes=st.integers(1, 9))
def test_pieces_of_any_length_read_as_python_does(tmp_path_factory, text, chunk_bytes):
    path = tmp_path_factory.mktemp("pieces") / "a.txt"
    path.write_bytes(text.encode())
    digest = hashlib.sha256()
    pieces = list(read_text(path, digest.update, chunk_bytes=chunk_bytes))
    assert "".join(pieces) == path.read_text(encoding="utf-8-sig")
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 4, 1024])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc\xffdef", "invalid UTF-8 at byte 3"),
        ("né".encode() + b"\xe9t\xe9", "invalid UTF-8 at byte 3"),
        ("é🙂".encode()[:-1], "invalid UTF-8 at byte 2"),
        (b"\xef\xbb\xbfab\xc3(", "invalid UTF-8 at byte 5"),
        (b"abcdef\0gh", "a zero byte at byte 6"),
        ("text".encode("utf-16"), "at byte [0-9]"),
    ],
)
def test_bytes_that_are_not_text_are_named(tmp_path, content, message, chunk_bytes):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"bad\.txt is not UTF-8 text: .*{message}"):
        list(read_text(path, chunk_bytes=chunk_bytes))


def test_a_folder_is_its_text_files_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, text in [("b/2.md", "two\r\n"), ("a.txt", "one"), ("c", "é"), ("b/1.txt", "")]:
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / ".hidden/x.txt").write_text("hidden")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    corpus = TextFiles(tmp_path)
    assert joined(corpus) == ["one", "two\n", "é"]
    assert joined(corpus) == ["one", "two\n", "é"]
    assert [source.name for source in corpus.sources] == ["a.txt", "b/2.md", "c"]
    assert joined(TextFiles(tmp_path, "*.md")) == ["two\n"]
    with pytest.raises(UserError, match=r"no files like '\*\.py'"):
        TextFiles(tmp_path, "*.py")
    assert corpus.sources[1].num_bytes == 5


def test_binary_files_among_many_are_counted_and_leave_no_trace(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("good")
    (folder / "b.bin").write_bytes(b"Q" * 300_000 + b"\0")  # read in part before it shows
    (folder / "c.bin").write_bytes(b"Z\xff")
    (folder / "d.txt").write_text("g")
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"skipped 2 of 4 .*b\.bin .* zero byte at byte 300000"
        ):
            store = prepare(CorpusConfig(name="text", path=str(folder)), tmp_path / "store")
    assert store.codec.vocabulary == "dgo"
    assert store.codec.tokenizer.decode(store.split("train")) == "goodg"
    assert store.documents.tolist() == [0, 4]
    assert store.metadata.num_units == {"character": 5, "byte": 5}
    assert [file.name for file in store.metadata.provenance.skipped] == ["b.bin", "c.bin"]
    assert [source.name for source in store.metadata.provenance.sources] == ["a.txt", "d.txt"]
    store.verify()


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no file or folder .*missing\.txt: check the path"):
        TextFiles(tmp_path / "missing.txt")
    with pytest.raises(UserError, match="holds no files"):
        TextFiles(tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        joined(TextFiles(tmp_path / "empty.txt"))
    with pytest.raises(UserError, match="is empty"):
        joined(TextFiles(tmp_path))
    (tmp_path / "b.bin").write_bytes(b"\0")
    with pytest.raises(UserError, match=r"b\.bin is not UTF-8 text: a zero byte at byte 0"):
        joined(TextFiles(tmp_path / "b.bin"))
    with pytest.raises(UserError, match=r"none of the 2 files in .*b\.bin"):
        joined(TextFiles(tmp_path))


def test_a_file_that_changes_between_two_passes_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    corpus = TextFiles(path)
    assert joined(corpus) == ["before"]
    path.write_text("beforf")
    with pytest.raises(UserError, match="changed while it was being read"):
        joined(corpus)


def test_memory_does_not_grow_with_the_text(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("Whether 'tis nobler — in the mind to suffer\n" * 200_000)
    tracemalloc.start()
    try:
        store = prepare(CorpusConfig(name="text", path=str(path)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert store.metadata.num_tokens == 44 * 200_000
    assert peak < 5_000_000
