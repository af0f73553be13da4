import hashlib
import math
import os
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from latentwave.bench.data import CorpusConfig, open_store, prepare
from latentwave.bench.data.corpus import FileCorpus
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.data.text.characters import CharacterCodec
from latentwave.errors import UserError

prepare_module = sys.modules["latentwave.bench.data.prepare"]


def config(path, **options):
    return CorpusConfig(name="text", path=str(path), **options)


def decoded(store, tokens):
    return "".join(CharacterCodec.load(store.folder).token_names(tokens))


def whole(store):
    return decoded(store, np.concatenate([store.split(name) for name in store.metadata.splits]))


def test_the_store_holds_the_text(text_file, store):
    text, metadata = text_file.read_text(), store.metadata
    assert whole(store) == text
    assert (metadata.dtype, metadata.unit) == ("uint8", "character")
    assert metadata.num_tokens == len(text)
    assert metadata.num_units == {"character": len(text), "byte": len(text.encode())}
    assert metadata.vocab_size == len(set(text))
    (source,) = metadata.provenance.sources
    assert source.sha256 == hashlib.sha256(text_file.read_bytes()).hexdigest()
    assert store.documents.tolist() == [0]
    assert store.labels is None
    for name, split in metadata.splits.items():
        part = decoded(store, store.split(name))
        assert split.num_units == {"character": len(part), "byte": len(part.encode())}
        bits = store.bits_per_unit(2.0, name)
        assert list(bits) == ["character", "byte"]
        assert bits["character"] == pytest.approx(2.0 / math.log(2))
        assert bits["byte"] == pytest.approx(2.0 / math.log(2) * len(part) / len(part.encode()))
    assert store.tokenizer(text)["input_ids"] == store.codec.encode_prompt(text).tolist()
    store.verify()


@pytest.mark.parametrize(
    ("shares", "borders"),
    [
        ({}, (900, 950)),
        ({"validation": 0.1, "test": 0.2}, (700, 800)),
        ({"validation": 0.0, "test": 0.0}, (1000, 1000)),
    ],
)
def test_splits_are_cut_by_position(tmp_path, shares, borders):
    text = ("abcdefg" * 143)[:1000]
    (tmp_path / "a.txt").write_text(text)
    store = prepare(config(tmp_path / "a.txt", **shares))
    for name, span in zip(store.metadata.splits, pairwise((0, *borders, 1000)), strict=True):
        assert decoded(store, store.split(name)) == text[slice(*span)]


def test_an_empty_folder_is_filled_and_strange_ones_are_refused(text_file, tmp_path):
    empty, other, file = tmp_path / "empty", tmp_path / "other", tmp_path / "file"
    empty.mkdir()
    assert prepare(config(text_file), empty).folder == empty
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other files, but no token store"):
        prepare(config(text_file), other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    file.touch()
    with pytest.raises(UserError, match="is a file: name a folder"):
        prepare(config(text_file), file)
    with pytest.raises(UserError, match="would lie among the files"):
        prepare(config(other), other / "store")
    with pytest.raises(UserError, match=r"cannot write the token store .*file/store: "):
        prepare(config(text_file), file / "store")


def test_the_store_of_another_corpus_is_refused(text_file, tmp_path):
    store = prepare(config(text_file), tmp_path / "s")
    with pytest.raises(UserError, match=r"another corpus \('text', .* other settings: delete it"):
        prepare(config(text_file, test=0.1), tmp_path / "s")
    open_store(store.folder).verify()


def test_default_path_follows_config_and_environment(text_file, tmp_path, monkeypatch):
    def path(**options):
        return prepare(config(text_file, **options)).folder

    first = path()
    assert first.parent == tmp_path / "home" / "stores"
    assert first.name.startswith("text-")
    assert path(validation=0.1) != first
    os.utime(text_file, (0, 0))
    assert path() == first
    monkeypatch.delenv("LATENTWAVE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert path().parent == tmp_path / "cache/latentwave/stores"


def test_an_interrupted_preparation_leaves_nothing(text_file, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt("in the middle")

    folder = tmp_path / "stores" / "s"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt, match="in the middle"):
            prepare(config(text_file), folder)
    assert list(folder.parent.iterdir()) == []
    assert whole(prepare(config(text_file), folder)) == text_file.read_text()


def test_what_a_killed_preparation_left_is_passed_over_and_removed_later(text_file, tmp_path):
    folder = tmp_path / "stores" / "s"
    killed = folder.parent / ".s.0123.partial"
    killed.mkdir(parents=True)
    (killed / "tokens.bin").write_bytes(b"half")
    prepare(config(text_file), folder)
    assert killed.exists()
    for path in (killed / "tokens.bin", killed):
        os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)
    with whole_folder(folder.with_name("other")):
        pass
    assert killed.exists()
    with whole_folder(folder) as partial:
        (partial / "x").touch()
    assert not killed.exists()


def old(path):
    """Files count as unchanged by their time stamps once these are a while ago."""
    os.utime(path, (time.time() - 100,) * 2)
    return path


def test_unchanged_sources_are_not_read_again(text_file, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "_changed_at", lambda status: status.st_mtime)
    old(text_file)
    first, named = prepare(config(text_file)), prepare(config(text_file), tmp_path / "s")
    path = first.folder
    with monkeypatch.context() as patch:
        patch.setattr(FileCorpus, "documents", None)
        assert prepare(config(text_file)) == first
        assert prepare(config(text_file), tmp_path / "s") == named
    old(text_file).write_text(text_file.read_text().replace("nobler", "noblex"))
    changed = prepare(config(old(text_file)))
    assert changed.folder != path
    assert "noblex" in whole(changed)
    with pytest.raises(UserError, match="of changed sources"):
        prepare(config(text_file), tmp_path / "s")


def test_a_store_tells_what_its_own_corpus_lacks(text_file, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(prepare_module, "_changed_at", lambda status: status.st_mtime)
    folder = tmp_path / "in"
    folder.mkdir()
    old(text_file.rename(folder / "a.txt"))
    link, damaged = folder / "link", folder / "damaged"
    whole_store = prepare(config(folder))
    assert not recwarn.list
    for make in (lambda: link.symlink_to("nowhere"), lambda: damaged.write_bytes(b"\0")):
        make()
        for _ in range(2):
            with pytest.warns(UserWarning, match="skipped 1 of 2 files"):
                assert prepare(config(folder)) != whole_store
        (link if link.is_symlink() else damaged).unlink()
        assert prepare(config(folder)) == whole_store
    assert not recwarn.list


@pytest.mark.parametrize("is_old", [True, False])
def test_a_change_that_keeps_size_and_time_is_seen(text_file, tmp_path, is_old, monkeypatch):
    if is_old:  # as if put in place with its old time
        monkeypatch.setattr(prepare_module, "_changed_at", lambda status: status.st_mtime)
        old(text_file)
    prepare(config(text_file), tmp_path / "s")
    status = text_file.stat()
    text_file.write_text(text_file.read_text().replace("nobler", "noblex"))
    os.utime(text_file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match="of changed sources"):
        prepare(config(text_file), tmp_path / "s")


def test_a_folder_has_its_name_when_all_below_it_is_on_the_disk(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(os, "fsync", lambda number: forced.append(os.fstat(number).st_ino))
    with whole_folder(tmp_path / "s") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("x")
    below = [tmp_path, *tmp_path.rglob("*")]
    assert len(below) == 4
    assert sorted(forced) == sorted(path.stat().st_ino for path in below)


def test_a_folder_may_hold_a_broken_link(tmp_path):
    with whole_folder(tmp_path / "s") as partial:
        (partial / "link").symlink_to("nowhere")
    assert (tmp_path / "s" / "link").is_symlink()


def test_the_first_of_two_preparations_stays(tmp_path):
    folder = tmp_path / "s"
    with whole_folder(folder) as late, whole_folder(folder) as early:
        (late / "late").touch()
        (early / "early").touch()
    assert [path.name for path in folder.iterdir()] == ["early"]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
