"""Files of text, tables of texts, published sets, and what ships with Python."""

import bz2
import csv
import gzip
import hashlib
import json
import lzma
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentwave.bench.data import CorpusConfig, guess_corpus, prepare
from latentwave.bench.data.text import files
from latentwave.bench.data.text.python_library import SEPARATOR, PythonLibrary
from latentwave.errors import UserError


def texts(store, split="train"):
    tokens, decode = store.split(split), store.codec.tokenizer.decode
    return [decode(tokens[start:stop]) for _, start, stop in store.spans(split)]


def whole(path, **options):
    """All of a corpus in one split."""
    return prepare(CorpusConfig(path=str(path), validation=0.0, test=0.0, **options))


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet="a\r\n é🙂\ufeff", max_size=40), chunk_bytes=st.integers(1, 9))
def test_pieces_of_any_length_read_as_python_does(tmp_path_factory, text, chunk_bytes):
    path = tmp_path_factory.mktemp("pieces") / "a.txt"
    path.write_bytes(text.encode())
    lost = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK_BYTES", chunk_bytes)
        assert "".join(files.read_text(path, lost)) == path.read_text(encoding="utf-8-sig")
    assert lost == []


@pytest.mark.parametrize("chunk_bytes", [1, 1024])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc\xffdef", "invalid bytes: 1, the first in line 1"),
        ("né\n".encode() + b"\xe9t\xe9", "invalid bytes: 2, the first in line 2"),
        ("é🙂".encode()[:-1], "invalid bytes: 3,"),
        (b"abc\ndef\0gh", "a zero byte in line 2"),
        ("text".encode("utf-16"), "a zero byte"),
    ],
)
def test_invalid_text_is_skipped_and_its_place_named(
    tmp_path, content, message, chunk_bytes, monkeypatch
):
    monkeypatch.setattr(files, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"bad\.txt is not UTF-8 text: .*{message}"):
        whole(path, name="text")


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1024])
def test_text_with_few_bad_bytes_is_read_and_the_loss_is_counted(
    tmp_path, chunk_bytes, monkeypatch
):
    monkeypatch.setattr(files, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "a.txt"
    path.write_bytes("né\n".encode() * 300 + b"\xff\xc3" + b"end" * 100 + "🙂".encode()[:2])
    with pytest.warns(UserWarning, match=r"parts of 1 of 1 .* invalid bytes: 4, .* line 301$"):
        assert texts(whole(path, name="text")) == ["né\n" * 300 + "end" * 100]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", lambda content: gzip.compress(content)[:-5]),
        (".gz", lambda content: gzip.compress(content) + b"more"),
        (".bz2", lambda content: bz2.compress(content)[:-5]),
        (".xz", lambda content: lzma.compress(content)[:-5]),
    ],
)
@pytest.mark.parametrize("num_lines", [600, 60_000])
def test_a_packed_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path, suffix, pack, num_lines):
    path = tmp_path / f"a.txt{suffix}"
    content = "".join(f"{n} bottles\n" for n in range(num_lines))
    path.write_bytes(pack(content.encode()))
    with pytest.warns(UserWarning, match=r"parts of 1 of 1 .*it breaks off after [\d,]+ bytes"):
        (text,) = texts(whole(path, name="text"))
    assert content.startswith(text)
    assert len(text) > 0.99 * len(content)


def test_a_folder_is_its_text_files_in_order(tmp_path):
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name, text in [("b/2.md", "two\r\n"), ("a.txt", "one"), ("c", "é"), ("b/1.txt", "")]:
        (folder / name).write_bytes(text.encode())
    (folder / ".hidden/x.txt").write_text("hidden")
    (folder / "b/3.bin").write_bytes(b"Q" * 300_000 + b"\0")  # read in part before it shows
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"skipped 1 of 5 .*3\.bin .* zero byte in line 1"):
            store = whole(folder, name="text")
    assert texts(store) == ["one", "two\n", "é"]
    assert store.codec.vocabulary == "\nenotwé"
    sources = [source.name for source in store.metadata.provenance.sources]
    assert sources == ["a.txt", "b/1.txt", "b/2.md", "c"]
    assert texts(whole(folder, name="text", pattern="*.md")) == ["two\n"]
    for name in ("a.txt", "b/1.txt"):
        (folder / name).unlink()
    for name in ("c", "b/2.md"):
        (folder / name).write_bytes(b"\0")
    with pytest.raises(UserError, match=r"none of the 3 files in .* can be used: .*2\.md is not"):
        whole(folder, name="text")


def test_memory_does_not_grow_with_the_text(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("Whether 'tis nobler — in the mind to suffer\n" * 200_000)
    tracemalloc.start()
    try:
        store = whole(path, name="text")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert store.metadata.num_tokens == 44 * 200_000
    assert peak < 6_000_000


def lines(path, *records):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{record}\n" for record in records))
    return path


def body(text, key="text"):
    return json.dumps({key: text, "id": 1})


def test_bad_lines_are_counted(tmp_path):
    bad = ["{", "[]", "[" * 100_000 + "]" * 100_000, body("x", "body"), '{"text": 3}']
    bad.append('{"text": "\\ud800"}')
    path = lines(tmp_path / "a.jsonl", body("good\nand more"), *bad, body("fine"))
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n')
    with pytest.warns(UserWarning, match=r"parts of 1 of 1 .* 7 of 9 rows .*row 2: not JSON"):
        assert texts(whole(path, name="jsonl")) == ["good\nand more", "fine"]
    for row, message in [('{"text": [3]}', r"'text' is \[3\], not a text"), ("7", "7 instead of")]:
        lines(path, row, body("fine"))
        with pytest.warns(UserWarning, match=f"1 of 2 rows hold no text; row 1: {message}"):
            whole(path, name="jsonl")
    lines(path, body("x", "body"))
    with pytest.raises(UserError, match=r"a\.jsonl holds no texts: .* 'text', only body, id"):
        whole(path, name="jsonl")
    assert texts(whole(path, name="jsonl", text_field="body")) == ["x"]


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_splits_of_tables_are_kept_by_every_tokenizer(tmp_path, tokenizer):
    folder = tmp_path / "in"
    for name, text in [("test", "c"), ("train-1", "a"), ("dev", "b"), ("train-0", "d")]:
        lines(folder / f"{name}.jsonl", body(text * 3))
    config = CorpusConfig(name="jsonl", path=str(folder), tokenizer=tokenizer, validation=0.5)
    for expected in ([["ddd", "aaa"], ["bbb"], ["ccc"]], [["ddd"], ["aaa"], ["ccc"]]):
        store = prepare(config)
        assert [texts(store, split) for split in store.metadata.splits] == expected
        (folder / "dev.jsonl").unlink(missing_ok=True)


def test_tables_of_other_forms(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": ["one", None, 'two, "2"'], "n": [1, 2, 3]})
    (tmp_path / "a.csv").write_text('n,text\n1,one\n2\n3,"two, ""2"""\n')
    (tmp_path / "b.tsv").write_text('n\ttext\n1\tone\n2\n3\t"two, ""2"""\n')
    rows.to_parquet(tmp_path / "c.parquet")
    rows.save_to_disk(tmp_path / "d")
    kinds = {"a.csv": "csv", "b.tsv": "csv", "c.parquet": "parquet", "d": "datasets"}
    for name, kind in kinds.items():
        assert guess_corpus(tmp_path / name) == kind
        with pytest.warns(UserWarning, match=r"1 of 3 rows hold no text; row 2: 'text' is empty"):
            assert texts(whole(tmp_path / name, name=kind)) == ["one", 'two, "2"']
        with pytest.raises(UserError, match=r"no field 'body', only (n, )?text"):
            whole(tmp_path / name, name=kind, text_field="body")


def test_a_cell_holds_a_document_of_any_length(tmp_path):
    limit = csv.field_size_limit()
    text = "to be, or not to be " * 20_000
    (tmp_path / "a.csv").write_text(f'text\n"{text}"\nshort\n')
    assert texts(whole(tmp_path / "a.csv", name="csv")) == [text, "short"]
    assert csv.field_size_limit() == limit


def test_saved_data_sets_keep_their_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": ["one", "two"]})
    datasets.DatasetDict({"train": rows, "dev": rows}).save_to_disk(tmp_path / "in")
    # Its results are saved beside the data, but are not part of them.
    datasets.load_from_disk(tmp_path / "in")["train"].map(lambda row: {"text": row["text"] * 2})
    store = prepare(CorpusConfig(name="datasets", path=str(tmp_path / "in")))
    assert texts(store) == texts(store, "validation") == ["one", "two"]


WIKI = "\n = First = \n\n a b c \n = = Section = = \n\n d \n\n = Second = \n\n e \n"


@pytest.mark.parametrize("form", ["wiki.{}.raw", "wikitext2_{}.txt"])
def test_wikitext_is_its_articles_in_its_splits(tmp_path, form):
    for split in ("train", "valid", "test"):
        (tmp_path / form.format(split)).write_text(WIKI.replace("a b c", split))
    (tmp_path / "README.md").write_text("about")
    store = prepare(CorpusConfig(name="wikitext-2", path=str(tmp_path)))
    for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
        first, second = WIKI.replace("a b c", word).split(" = Second")
        # The blank line before the first title belongs to it.
        assert "".join(texts(store, split)) == first + " = Second" + second
        assert texts(store, split)[-1] == " = Second" + second
    (tmp_path / form.format("valid")).unlink()
    with pytest.raises(UserError, match="must hold one file for each split"):
        prepare(CorpusConfig(name="wikitext-2", path=str(tmp_path)))


def test_text8_has_its_published_splits(tmp_path):
    (tmp_path / "text8").write_text("ab c" * 250)
    store = prepare(CorpusConfig(name="text8", path=str(tmp_path / "text8")))
    assert [split.num_tokens for split in store.metadata.splits.values()] == [900, 50, 50]
    store = prepare(CorpusConfig(name="enwik8", path=str(tmp_path / "text8")))
    assert store.metadata.unit == "byte"
    assert bytes(store.split("train")) == b"ab c" * 225


@pytest.fixture
def library(tmp_path):
    (tmp_path / "package" / "test").mkdir(parents=True)
    (tmp_path / "module.py").write_text(
        '"""A module whose documentation is long enough\n\n       and indented.\n"""\n'
        "if True:\n"
        "    class Documented:\n"
        '        """A class whose documentation is long enough."""\n'
        "        async def method(self):\n"
        '            """A method whose documentation is long enough."""\n'
        "        def short(self):\n"
        '            """Too short."""\n'
        "        def unprintable(self):\n"
        '            "A string of ample length with a \\x00 or a \\ud800 in it."\n'
        "        def odd(self):\n"
        "            'A class whose documentation is long enough.'\n"
        "            return '\\d'\n"
    )
    (tmp_path / "broken.py").write_text("def (:\n    '''This does not parse, so it is skipped.'''")
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "package/test/t.py").write_text('"""A test whose documentation is left out."""')
    return tmp_path


def test_docstrings_are_collected_once_and_cleaned(library):
    corpus = PythonLibrary("docs", library)
    documents = ["".join(document.pieces) for document in corpus.documents()]
    assert all(document.endswith(SEPARATOR) for document in documents[:-1])
    found = [document.removesuffix(SEPARATOR) for document in documents]
    assert found == sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    assert sorted(found) == [
        "A class whose documentation is long enough.",
        "A method whose documentation is long enough.",
        "A module whose documentation is long enough\n\nand indented.",
    ]
    (library / "pydoc_data").mkdir()
    topic = "The if statement is used for conditional execution."
    (library / "pydoc_data/topics.py").write_text(f"topics = {{'if': '  {topic}'}}")
    assert any(topic in document.pieces for document in PythonLibrary("docs", library).documents())
    before = corpus.sources
    (library / "broken.py").write_text("")
    list(corpus.documents())
    assert corpus.sources != before


def test_modules_are_collected_once(library):
    (library / "copy.py").write_bytes((library / "module.py").read_bytes())
    corpus = PythonLibrary("code", library)
    found = {"".join(document.pieces) for document in corpus.documents()}
    assert found == {(library / f"{name}.py").read_text() for name in ("module", "broken")}
    (library / "copy.py").unlink()
    with pytest.raises(UserError, match=r"cannot read .*copy\.py: No such file"):
        list(corpus.documents())


@pytest.mark.parametrize("what", ["docs", "code"])
def test_a_python_without_its_library_is_refused(tmp_path, what):
    with pytest.raises(UserError, match=f'"python-{what}" is empty'):
        list(PythonLibrary(what, tmp_path).documents())


def test_python_docs_need_nothing(tmp_path):
    store = prepare(CorpusConfig(), tmp_path / "docs")
    assert store.metadata.num_units["character"] > 500_000
    assert store.metadata.num_documents > 1000
