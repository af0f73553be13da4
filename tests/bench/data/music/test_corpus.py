import csv
import json
import os

import numpy as np
import pytest

from latentwave.bench.data import CorpusConfig, guess_corpus, open_store, prepare
from latentwave.bench.data.music import parallel
from latentwave.bench.data.music.tokens import BEGIN, END, TOKENIZERS, tokenize
from latentwave.errors import UserError
from tests.bench.data.music.made import write_midi


def config(folder, **kwargs):
    return CorpusConfig(**({"name": "music", "path": str(folder)} | kwargs))


@pytest.fixture
def folder(tmp_path):
    for n in range(8):
        write_midi(tmp_path / "music" / f"piece{n // 2}" / f"take{n}.mid", 40 + n, seed=n)
    return tmp_path / "music"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_folder_becomes_tokens_and_music_again(folder, tmp_path, kind):
    store = prepare(config(folder, tokenizer=kind))
    meta = store.metadata
    assert (meta.dtype, meta.unit, meta.num_documents) == ("uint16", "note", 8)
    assert meta.num_units == {"note": sum(40 + n for n in range(8))}
    tokens = np.concatenate([store.split(name) for name in meta.splits])
    assert (tokens[store.documents] == BEGIN).all()
    assert (tokens[np.append(store.documents[1:], len(tokens)) - 1] == END).all()

    codec = open_store(store.folder).codec
    piece = tokens[: store.documents[1]]
    codec.write(piece, tmp_path / "out.mid")
    assert codec.seconds(piece) > 1
    again = codec.encode_prompt(str(tmp_path / "out.mid"))
    assert again[-1] != END
    assert codec.units_of(again) == codec.units_of(piece)


def test_folders_stay_whole_if_wanted(folder):
    store = prepare(config(folder, split_by="folder", validation=0.25, test=0.25))
    names = [source.name.split("/")[0] for source in store.metadata.provenance.sources]
    spans = {name: store.spans(name) for name in store.metadata.splits}
    found = {split: {names[index] for index, _, _ in span} for split, span in spans.items()}
    assert [len(found[split]) for split in ("train", "validation", "test")] == [2, 1, 1]
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]


def test_bad_files_are_named_and_counted(folder):
    (folder / "a.mid").write_bytes(b"MThd")
    write_midi(folder / "b.mid", 0)
    with pytest.warns(UserWarning, match=r"skipped 2 of 10 .*a\.mid is damaged.*b\.mid holds no n"):
        store = prepare(config(folder))
    assert store.metadata.num_documents == 8
    with pytest.raises(UserError, match=r"a\.mid is damaged or no MIDI"):
        prepare(config(folder / "a.mid"))


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def maestro(folder):
    splits = ["test", "train", "train", "train", "train", "validation", "train", "test"]
    rows = [
        {
            "canonical_composer": "N. N.",
            "canonical_title": "Sonata, in C",
            "split": split,
            "year": 2004,
            "midi_filename": f"piece{n // 2}/take{n}.mid",
            "audio_filename": f"piece{n // 2}/take{n}.wav",
            "duration": 9.5,
        }
        for n, split in enumerate(splits)
    ]
    write_table(folder / "maestro-v3.0.0.csv", rows)
    return folder, rows


@pytest.mark.parametrize("name", ["maestro", "music"])
def test_maestro_comes_with_its_split(maestro, name):
    folder, rows = maestro
    store = prepare(config(folder, name=name))
    names = [source.name for source in store.metadata.provenance.sources]
    for split in ("train", "validation", "test"):
        found = [names[index] for index, _, _ in store.spans(split)]
        assert found == [row["midi_filename"] for row in rows if row["split"] == split]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "valid"}, "into a split 'valid'"),
        ({"midi_filename": "../../secret.mid"}, "lies outside its folder"),
    ],
)
def test_a_table_that_cannot_be(maestro, change, message):
    folder, rows = maestro
    write_table(folder / "maestro-v3.0.0.csv", [row | change for row in rows])
    with pytest.raises(UserError, match=message):
        prepare(config(folder, name="maestro"))


def test_what_a_table_lacks(maestro):
    folder, _ = maestro
    (folder / "piece0" / "take1.mid").unlink()
    with pytest.warns(UserWarning, match=r"skipped 1 of 8 .*take1\.mid is missing"):
        prepare(config(folder, name="maestro"))
    write_table(folder / "maestro-v3.0.0.csv", [{"split": "train"}])
    with pytest.raises(UserError, match="no column 'midi_filename'"):
        prepare(config(folder, name="maestro"))
    (folder / "maestro-v3.0.0.csv").unlink()
    with pytest.raises(UserError, match="holds no table maestro"):
        prepare(config(folder, name="maestro"))


def test_asap_is_its_performances_split_by_piece(folder):
    for piece in range(4):
        write_midi(folder / f"piece{piece}" / "midi_score.mid", 10)
    rows = [
        {"folder": f"piece{n // 2}", "midi_performance": f"piece{n // 2}/take{n}.mid"}
        for n in range(8)
    ]
    write_table(folder / "metadata.csv", rows)
    store = prepare(config(folder, name="asap", validation=0.25, test=0.25))
    names = [source.name for source in store.metadata.provenance.sources]
    assert sorted(names) == [row["midi_performance"] for row in rows]
    train = {names[index].split("/")[0] for index, _, _ in store.spans("train")}
    test = {names[index].split("/")[0] for index, _, _ in store.spans("test")}
    assert train
    assert test
    assert not train & test


def test_music_is_recognised(folder):
    assert guess_corpus(folder) == "music"
    assert guess_corpus(folder / "piece0" / "take0.mid") == "music"


def test_another_vocabulary_is_refused(folder):
    store = prepare(config(folder))
    path = store.folder / "music.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"vocabulary": content["vocabulary"][:-1]}))
    with pytest.raises(UserError, match="vocabulary differs"):
        open_store(store.folder).codec.seconds(np.zeros(1))


def test_prompts_that_cannot_be(folder):
    codec = prepare(config(folder)).codec
    with pytest.raises(UserError, match="is a MIDI file; there is none at"):
        codec.encode_prompt("The ")
    (folder / "a.mid").write_bytes(b"MThd")
    with pytest.raises(UserError, match=r"prompt .*a\.mid is damaged"):
        codec.encode_prompt(str(folder / "a.mid"))


def test_several_processes_give_what_one_gives(folder, monkeypatch):
    (folder / "piece2" / "a.mid").write_bytes(b"MThd")
    one = prepare_quietly(config(folder))
    monkeypatch.setattr(parallel, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(parallel, "_num_cores", lambda: 2)
    monkeypatch.setattr(parallel, "_FILES_AT_ONCE", 2)
    monkeypatch.setattr(parallel, "tokenize", refuse_here(os.getpid()))
    several = prepare_quietly(config(folder), folder.parent / "several")
    assert several.metadata.sha256 == one.metadata.sha256
    assert several.metadata.provenance == one.metadata.provenance


def test_a_process_that_dies_is_no_harm(folder, monkeypatch):
    one = prepare(config(folder))
    monkeypatch.setattr(parallel, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(parallel, "_num_cores", lambda: 2)
    monkeypatch.setattr(parallel, "_FILES_AT_ONCE", 2)
    monkeypatch.setattr(parallel, "tokenize", die_elsewhere(os.getpid()))
    assert prepare(config(folder), folder.parent / "x").metadata.sha256 == one.metadata.sha256


def prepare_quietly(*arguments):
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        return prepare(*arguments)


def refuse_here(parent):
    def tokenize_elsewhere(kind, content):
        assert os.getpid() != parent
        return tokenize(kind, content)

    return tokenize_elsewhere


def die_elsewhere(parent):
    def tokenize_here(kind, content):
        if os.getpid() != parent:
            os._exit(1)
        return tokenize(kind, content)

    return tokenize_here
