"""text8, enwik8, WikiText and the standard library in their published layouts."""

import numpy as np
import pytest

from latentwave.bench.data import CorpusConfig, prepare
from latentwave.errors import UserError


def text_of(store, split):
    return store.codec.tokenizer.decode(store.split(split))


def test_text8(tmp_path):
    path = tmp_path / "text8"
    path.write_text(" anarchism originated as a term of abuse" * 25)
    store = prepare(CorpusConfig(name="text8", path=str(path)), tmp_path / "s")
    assert [split.num_tokens for split in store.metadata.splits.values()] == [900, 50, 50]
    assert store.metadata.num_documents == 1
    path.write_text(" anarchism originated As")
    with pytest.raises(UserError, match="is not text8: it holds 'A' at 22, where only a to z"):
        prepare(CorpusConfig(name="text8", path=str(path)))


def test_enwik8_is_bytes_as_they_are(tmp_path):
    content = b"\xef\xbb\xbf<mediawiki>\r\n" + "Ελλάδα\n".encode() * 100
    path = tmp_path / "enwik8"
    path.write_bytes(content[:-2])  # ends within a character
    store = prepare(CorpusConfig(name="enwik8", path=str(path)), tmp_path / "s")
    assert store.metadata.unit == "byte"
    assert b"".join(store.split(s).tobytes() for s in store.metadata.splits) == content[:-2]
    bits = store.bits_per_unit(1.0, "train")
    assert bits["byte"] == pytest.approx(1 / np.log(2))
    assert bits["character"] > 1.5 * bits["byte"]
    characters = CorpusConfig(
        name="enwik8", path=str(path), tokenizer="characters", validation=0.0, test=0.0
    )
    assert text_of(prepare(characters), "train") == content[:-3].decode()
    path.write_bytes(b"abc\xffdef")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        prepare(characters)


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
@pytest.mark.parametrize("name", ["wiki.{}.raw", "wikitext2_{}.txt"])
def test_wikitext(tmp_path, tokenizer, name):
    folder = tmp_path / "wikitext"
    folder.mkdir()
    article = " \n = {} = \n \n Some @-@ text . \n \n = = Section = = \n \n More . \n"
    for split, titles in [("valid", "C"), ("train", "AB"), ("test", "D")]:
        (folder / name.format(split)).write_text("".join(map(article.format, titles)))
    config = CorpusConfig(name="wikitext-2", path=str(folder), tokenizer=tokenizer)
    store = prepare(config, tmp_path / "s")
    text = text_of(store, "train")
    assert text == article.format("A") + article.format("B")
    assert text_of(store, "validation") == article.format("C")
    assert text_of(store, "test") == article.format("D")
    starts = [start for _, start, _ in store.spans("train")]
    decode = store.codec.tokenizer.decode
    assert [decode(store.split("train")[start:])[:5] for start in starts[1:]] == [" = A ", " = B "]
    (folder / "readme.md").write_text("x")
    with pytest.raises(UserError, match=r"one file for each split.*got readme\.md"):
        prepare(config, tmp_path / "t")


def test_one_file_of_wikitext_is_cut_by_shares(tmp_path):
    path = tmp_path / "wikitext2_valid.txt"
    path.write_text(" = A = \n" * 1000)
    store = prepare(CorpusConfig(name="wikitext-2", path=str(path)))
    assert store.metadata.splits["validation"].num_tokens == 400
    assert store.metadata.num_documents == 1000


def test_python_code():
    store = prepare(CorpusConfig(name="python-code"))
    assert store.metadata.num_tokens > 4_000_000
    assert store.metadata.num_documents > 300
    shares = [(store.split(s) == store.encode_text("_")[0]).mean() for s in store.metadata.splits]
    # One mixture: in the order of the names validation and test would be single packages.
    assert max(shares) < 1.6 * min(shares)
