import json

import pytest

from latentwave.bench.data import CorpusConfig, guess_corpus, prepare
from latentwave.errors import UserError


def texts(store, split):
    tokens, decode = store.split(split), store.codec.tokenizer.decode
    return [decode(tokens[start:stop]) for _, start, stop in store.spans(split)]


def lines(path, *records):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{record}\n" for record in records))
    return path


def body(text, key="text"):
    return json.dumps({key: text, "id": 1})


def test_one_document_per_line(tmp_path):
    path = lines(tmp_path / "a.jsonl", body("one\nmore"), "", body(""), body("tẅo"))
    config = CorpusConfig(name=guess_corpus(path), path=str(path), validation=0.0, test=0.0)
    assert config.name == "jsonl"
    store = prepare(config, tmp_path / "s")
    assert texts(store, "train") == ["one\nmore", "tẅo"]
    assert store.metadata.provenance.skipped == []


def test_bad_lines_are_counted(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        body("good"),
        "{",
        "[]",
        body("x", "body"),
        '{"text": 3}',
        '{"text": "\\ud800"}',
        body("fine"),
    )
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n')
    config = CorpusConfig(name="jsonl", path=str(path), validation=0.0, test=0.0)
    with pytest.warns(UserWarning, match=r"parts of 1 of 1 .* 6 of 8 lines .*line 2: not JSON"):
        store = prepare(config, tmp_path / "s")
    assert texts(store, "train") == ["good", "fine"]
    lines(path, body("x", "body"))
    with pytest.raises(UserError, match="no field 'text', only body, id: name another with text_"):
        prepare(config, tmp_path / "t")
    other = CorpusConfig(name="jsonl", path=str(path), text_field="body", validation=0.0, test=0.0)
    assert texts(prepare(other, tmp_path / "u"), "train") == ["x"]


def test_files_called_after_splits_keep_them(tmp_path):
    folder = tmp_path / "in"
    for name, text in [("test", "c"), ("train-1", "a"), ("dev", "b"), ("train-0", "d")]:
        lines(folder / f"{name}.jsonl", body(text * 3))
    config = CorpusConfig(name=guess_corpus(folder), path=str(folder))
    store = prepare(config, tmp_path / "s")
    assert texts(store, "train") == ["ddd", "aaa"]
    assert texts(store, "validation") == ["bbb"]
    assert texts(store, "test") == ["ccc"]
    bpe = prepare(CorpusConfig(name="jsonl", path=str(folder), tokenizer="bpe"), tmp_path / "b")
    assert texts(bpe, "validation") == ["bbb"]
    (folder / "dev.jsonl").unlink()
    for tokenizer in ("characters", "bpe"):
        short = CorpusConfig(name="jsonl", path=str(folder), validation=0.5, tokenizer=tokenizer)
        store = prepare(short, tmp_path / f"short-{tokenizer}")
        assert texts(store, "train") == ["ddd"]
        assert texts(store, "validation") == ["aaa"]
        assert texts(store, "test") == ["ccc"]
    lines(folder / "more.jsonl", body("e"))
    store = prepare(CorpusConfig(name="jsonl", path=str(folder), test=0.0), tmp_path / "m")
    assert texts(store, "test") == []


def test_data_sets_of_the_hub_library(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": ["one", None, "two"], "n": [1, 2, 3]})
    datasets.DatasetDict({"train": rows, "dev": rows}).save_to_disk(tmp_path / "in")
    config = CorpusConfig(name=guess_corpus(tmp_path / "in"), path=str(tmp_path / "in"))
    assert config.name == "datasets"
    with pytest.warns(UserWarning, match=r"1 of 3 rows of train; row 1: 'text' is NoneType"):
        store = prepare(config, tmp_path / "s")
    assert texts(store, "train") == texts(store, "validation") == ["one", "two"]
    with pytest.raises(UserError, match=r"no column 'body', only text, n"):
        prepare(CorpusConfig(name="datasets", path=str(tmp_path / "in"), text_field="body"))
    datasets.DatasetDict({"train": rows, "extra": rows}).save_to_disk(tmp_path / "odd")
    with pytest.raises(UserError, match="has the splits train, extra"):
        prepare(CorpusConfig(name="datasets", path=str(tmp_path / "odd")))
    rows.save_to_disk(tmp_path / "one")
    config = CorpusConfig(
        name="datasets", path=str(tmp_path / "one"), validation=0.0, test=0.0, text_field="text"
    )
    with pytest.warns(UserWarning, match="skipped"):
        assert texts(prepare(config), "train") == ["one", "two"]
    with pytest.raises(UserError, match="is no folder that the library datasets"):
        prepare(CorpusConfig(name="datasets", path=str(tmp_path)))
