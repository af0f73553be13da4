"""MIDI files to events and back, and what can be wrong with them."""

import csv
import json
import os
import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import symusic

from latentwave.bench.data import CODECS, CorpusConfig, open_store, prepare
from latentwave.bench.data.corpus import UnusableFileError
from latentwave.bench.data.music import corpus as corpus_module
from latentwave.bench.data.music.codec import (
    BEGIN,
    END,
    TOKENIZERS,
    detokenize,
    miditok_tokenizer,
    tokenize,
)
from latentwave.bench.data.music.midi import notes_of, parse_midi
from latentwave.errors import UserError
from tests.bench.data.music.made import score, write_midi


def num_notes(kind, tokens):
    return CODECS[kind]().units_of(tokens)["note"]


def sources(store, split=None):
    """The names of the files of a store or of a split."""
    names = [source.name for source in store.metadata.provenance.sources]
    return names if split is None else [names[index] for index, _, _ in store.spans(split)]


def table(made):
    """Onset, end, pitch and velocity of every note, by pitch and onset."""
    columns = np.stack(notes_of(made.to("second"), sustain=False), axis=1)
    return columns[np.lexsort((columns[:, 0], columns[:, 2]))].astype(float)


def test_the_vocabulary_is_the_music_transformers():
    vocabulary = miditok_tokenizer("midi-like").vocab
    kinds = Counter(name.split("_")[0] for name in vocabulary)
    special = {"PAD": 1, "BOS": 1, "EOS": 1}
    assert kinds == {"NoteOn": 128, "NoteOff": 128, "TimeShift": 100, "Velocity": 32} | special
    assert sum(kinds.values()) - 3 == 388
    assert list(vocabulary.values()) == list(range(391))
    assert (vocabulary["BOS_None"], vocabulary["EOS_None"]) == (BEGIN, END)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_note_comes_back_in_its_place(kind):
    made = score(5080)
    tokens = tokenize(kind, made.dumps_midi())
    assert (tokens[0], tokens[-1]) == (BEGIN, END)
    assert tokens.max() < len(miditok_tokenizer(kind))
    before, after = table(made), table(detokenize(kind, tokens))
    assert len(after) == num_notes(kind, tokens) == 5080
    assert (after[:, 2] == before[:, 2]).all()
    # Half of a twelfth of a beat, or of 10 ms, and float32.
    half = 0.02505 if kind == "remi" else 0.0051
    onset, end, _, velocity = np.abs(after - before).max(axis=0)
    assert onset <= half
    assert end <= 3 * half
    assert velocity <= 2


def test_tracks_become_one_instrument_without_drums():
    made = score(300, tracks=3)
    drums = symusic.Track(is_drum=True, program=0, name="drums")
    drums.notes.append(symusic.Note(0, 10, 40, 100))
    made.tracks.append(drums)
    assert num_notes("midi-like", tokenize("midi-like", made.dumps_midi())) == 300


def test_the_pedal_holds_notes_until_it_rises_or_the_key_is_struck_again():
    made = symusic.Score(50)
    track = symusic.Track()
    times = [(0, 10, 60), (10, 10, 62), (150, 10, 60), (220, 10, 64), (390, 30, 65)]
    for time, duration, pitch in times:
        track.notes.append(symusic.Note(time, duration, pitch, 64))
    track.pedals.append(symusic.Pedal(5, 195))
    made.tracks.append(track)
    held = notes_of(made)
    assert held.onset.tolist() == [0, 10, 150, 220, 390]
    assert held.end.tolist() == [150, 200, 200, 230, 420]
    assert notes_of(made, sustain=False).end.tolist() == [10, 20, 160, 230, 420]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_music_that_makes_no_sense_can_be_played(kind):
    tokens = np.random.default_rng(0).integers(0, len(miditok_tokenizer(kind)), 3000)
    assert np.isfinite(detokenize(kind, tokens).to("second").end())
    assert detokenize(kind, np.array([BEGIN])).note_num() == 0


def test_notes_that_have_not_ended_end_with_the_music():
    tokens = tokenize("midi-like", score(40).dumps_midi())
    vocabulary = miditok_tokenizer("midi-like").vocab
    offs = {token for name, token in vocabulary.items() if name.startswith("NoteOff")}
    cut = np.array([token for token in tokens if token not in offs])
    assert detokenize("midi-like", cut).note_num() == num_notes("midi-like", cut) == 40


def tempo(microseconds):
    return b"\0\xff\x51\x03" + microseconds.to_bytes(3, "big")


def midi(*tracks, ticks=480):
    """A file of tracks, each the bytes of its events."""
    content = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), ticks)
    for events in tracks:
        body = events + b"\0\xff\x2f\0"
        content += struct.pack(">4sI", b"MTrk", len(body)) + body
    return content


NOTE = b"\0\x90\x3c\x40\x60\x80\x3c\x00"
LONG = b"\xff\xff\xff\x7f\x90\x3c\x40\x60\x80\x3c\x00"
DRUM = b"\0\x99\x3c\x40\x60\x89\x3c\x00"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "damaged or no MIDI"),
        (b"MThd" + b"a" * 50, "damaged or no MIDI"),
        (midi(NOTE)[:-9], "damaged or no MIDI"),
        (midi(NOTE, ticks=0xE728), "damaged or no MIDI"),
        (midi(NOTE, ticks=0), "no ticks per beat"),
        (midi(b""), "holds no notes"),
        (midi(DRUM), "holds drums alone"),
        (midi(LONG * 3), "hours: its tempo or its times are damaged"),
        (midi(tempo(1) + NOTE * 2000), "plays 2,000 notes in .* s: its tempo is damaged"),
    ],
)
def test_files_that_cannot_be_used(file, reason):
    with pytest.raises(UnusableFileError, match=reason):
        tokenize("midi-like", file)


@pytest.mark.parametrize("microseconds", [0, 1, 0xFFFFFF])
def test_one_note_at_any_tempo(microseconds):
    for kind in TOKENIZERS:
        assert num_notes(kind, tokenize(kind, midi(tempo(microseconds) + NOTE))) == 1


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_tempo_of_0_is_ignored(kind):
    """A piece collapsed onto one onset, and most of its notes were lost."""
    plain, odd = midi(NOTE * 100), midi(NOTE * 50 + tempo(0) + NOTE * 50)
    assert num_notes(kind, tokenize(kind, odd)) == 100
    assert tokenize(kind, odd).tolist() == tokenize(kind, plain).tolist()


def pedal(value, *, channel=0, delta=b"\0"):
    return delta + bytes([0xB0 | channel, 64, value])


@pytest.mark.parametrize("channel", [0, 1])
def test_pedals_act_on_their_channel_whatever_track_they_stand_in(channel):
    down, up = pedal(127, channel=channel), pedal(0, channel=channel, delta=b"\x8f\x00")
    apart = notes_of(parse_midi(midi(NOTE, down + up)))
    up = pedal(0, channel=channel, delta=b"\x8e\x20")
    together = notes_of(parse_midi(midi(down + NOTE + up)))
    assert apart.end.tolist() == together.end.tolist() == [1920 if channel == 0 else 96]


@pytest.mark.parametrize("damage", ["cut", "cut between", "bad byte", "cut head", "missing track"])
def test_music_is_read_as_far_as_it_goes(damage, tmp_path):
    """A file that lacked its last byte was skipped whole."""
    whole = midi(NOTE * 500, NOTE * 500)
    spoiled = {
        "cut": whole[:-50],
        "cut between": whole[: -6 * len(NOTE) - 4],  # notes; the track's end has four bytes
        "bad byte": whole[:-50] + b"\xff" + whole[-49:],
        "cut head": whole[: whole.rindex(b"MTrk") + 6],
        "missing track": whole[: whole.rindex(b"MTrk")],
    }[damage]
    lost = []
    num = len(notes_of(parse_midi(spoiled, lost)).onset)
    assert num >= (500 if damage in ("cut head", "missing track") else 990)
    number = "1 of 2 tracks" if num == 500 else r"5\d of [\d,]+ bytes of track 2"
    assert re.search(number, lost[0])
    (tmp_path / "a.mid").write_bytes(spoiled)
    with pytest.warns(UserWarning, match=r"skipped parts of 1 of 1 files: .*a\.mid"):
        store = prepare(CorpusConfig(name="music", path=str(tmp_path / "a.mid")))
    assert store.metadata.num_units["note"] > 0


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_page_states_the_vocabulary(kind):
    page = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
    size = len(miditok_tokenizer(kind))
    stated = "the 388 events of the Music Transformer, + 3" if size == 391 else f"{size}: "
    assert re.search(rf"^\| `{kind}` \|.*{re.escape(stated)}", page, flags=re.MULTILINE)


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


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def maestro(folder):
    splits = ["test", "train", "train", "train", "train", "validation", "train", "test"]
    names = [f"piece{n // 2}/take{n}.mid" for n in range(8)]
    rows = [
        {"canonical_title": "Sonata, in C", "split": split, "midi_filename": name}
        for split, name in zip(splits, names, strict=True)
    ]
    write_table(folder / "maestro-v3.0.0.csv", rows)
    return folder, rows


@pytest.mark.parametrize("name", ["maestro", "music"])
def test_maestro_comes_with_its_split(maestro, name):
    folder, rows = maestro
    store = prepare(config(folder, name=name))
    for split in ("train", "validation", "test"):
        expected = [row["midi_filename"] for row in rows if row["split"] == split]
        assert sources(store, split) == expected


def test_split_by_overrides_the_table(maestro):
    folder, rows = maestro
    store = prepare(config(folder, split_by="tokens"))
    assert sources(store) == [row["midi_filename"] for row in rows]


def test_a_piece_in_another_split_is_another_corpus(maestro):
    folder, rows = maestro
    rows = [rows[n] for n in (1, 2, 3, 4, 6, 5, 0, 7)]  # train, validation, test
    sizes = []
    for changed in (rows, [*rows[:4], rows[4] | {"split": "validation"}, *rows[5:]]):
        write_table(folder / "maestro-v3.0.0.csv", changed)
        store = prepare(config(folder, name="maestro"))
        sizes.append([len(store.spans(split)) for split in store.metadata.splits])
    assert sizes == [[5, 1, 2], [4, 2, 2]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"split": "valid", "midi_filename": "a.mid"}, "into a split 'valid'"),
        ({"split": "train", "midi_filename": "../../secret.mid"}, "lies outside its folder"),
        ({"split": "train"}, "no column 'midi_filename'"),
        (None, "holds no table maestro"),
    ],
)
def test_a_bad_table_is_refused(folder, row, message):
    if row:
        write_table(folder / "maestro-v3.0.0.csv", [row])
    with pytest.raises(UserError, match=message):
        prepare(config(folder, name="maestro"))


def test_a_missing_file_of_a_table_is_counted(maestro):
    folder, _ = maestro
    (folder / "piece0" / "take1.mid").unlink()
    with pytest.warns(UserWarning, match=r"skipped 1 of 9 .*take1\.mid is missing"):
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
    assert sorted(sources(store)) == [row["midi_performance"] for row in rows]
    pieces = {(name.split("/")[0], s) for s in store.metadata.splits for name in sources(store, s)}
    assert len(pieces) == 4
    assert len({split for _, split in pieces}) == 3


def test_another_vocabulary_is_refused(folder):
    store = prepare(config(folder))
    path = store.folder / "codec.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"vocabulary": content["vocabulary"][:-1]}))
    with pytest.raises(UserError, match="vocabulary differs"):
        open_store(store.folder).codec.seconds(np.zeros(1))


def use_two_processes(monkeypatch, tokenize):
    changes = {"PARALLEL_BYTES": 0, "num_cores": lambda: 2, "_FILES_AT_ONCE": 2}
    for name, value in (changes | {"tokenize": tokenize}).items():
        monkeypatch.setattr(corpus_module, name, value)


def test_several_processes_give_what_one_gives(folder, monkeypatch):
    parent = os.getpid()

    def tokenize_elsewhere(kind, content, lost):
        assert os.getpid() != parent
        return tokenize(kind, content, lost)

    (folder / "piece2" / "a.mid").write_bytes(b"MThd")
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        one = prepare(config(folder))
    use_two_processes(monkeypatch, tokenize_elsewhere)
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        several = prepare(config(folder), folder.parent / "several")
    assert several.metadata.sha256 == one.metadata.sha256
    assert several.metadata.provenance == one.metadata.provenance


def test_a_process_that_is_killed_is_one_line(folder, monkeypatch, tmp_path):
    use_two_processes(monkeypatch, lambda *_: os._exit(9))
    with pytest.raises(UserError, match=r"was killed at .*\.mid or near it.*prepare again"):
        prepare(config(folder), tmp_path / "store")
    assert not (tmp_path / "store").exists()
