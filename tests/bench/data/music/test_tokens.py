import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import symusic

from latentwave.bench.data.media import UnusableFileError
from latentwave.bench.data.music.midi import notes_of, parse_midi
from latentwave.bench.data.music.tokens import (
    BEGIN,
    END,
    TOKENIZERS,
    detokenize,
    miditok_tokenizer,
    num_notes,
    tokenize,
)
from tests.bench.data.music.made import score


def content(made):
    return made.dumps_midi()


def table(made):
    """Onset, end, pitch and velocity of every note, by pitch and onset."""
    notes = notes_of(made.to("second"), sustain=False)
    columns = np.stack([notes.onset, notes.end, notes.pitch, notes.velocity], axis=1)
    return columns[np.lexsort((columns[:, 0], columns[:, 2]))].astype(float)


def test_the_vocabulary_is_the_music_transformers():
    vocabulary = miditok_tokenizer("midi-like").vocab
    kinds = Counter(name.split("_")[0] for name in vocabulary)
    special = {"PAD": 1, "BOS": 1, "EOS": 1}
    assert kinds == {"NoteOn": 128, "NoteOff": 128, "TimeShift": 100, "Velocity": 32} | special
    assert sum(kinds.values()) - 3 == 388
    assert list(vocabulary.values()) == list(range(391))
    assert (vocabulary["BOS_None"], vocabulary["EOS_None"]) == (BEGIN, END)


def test_every_note_comes_back_in_its_place():
    made = score(5080)
    piece = tokenize("midi-like", content(made))
    assert piece.num_notes == 5080
    assert (piece.tokens[0], piece.tokens[-1]) == (BEGIN, END)
    before, after = table(made), table(detokenize("midi-like", piece.tokens))
    assert len(after) == 5080
    assert (after[:, 2] == before[:, 2]).all()
    assert np.abs(after[:, 0] - before[:, 0]).max() <= 0.0051  # half of 10 ms, and float32
    assert np.abs(after[:, 1] - before[:, 1]).max() <= 0.0151
    assert np.abs(after[:, 3] - before[:, 3]).max() <= 2


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_no_note_is_lost(kind):
    made = score(1000, seed=1)
    piece = tokenize(kind, content(made))
    after = detokenize(kind, piece.tokens)
    assert after.note_num() == piece.num_notes == num_notes(kind, piece.tokens) == 1000
    assert Counter(table(after)[:, 2]) == Counter(table(made)[:, 2])
    assert piece.tokens.max() < len(miditok_tokenizer(kind))
    worst = 0.0051 if kind != "remi" else 0.06  # half of a twelfth of a beat, and the tempo
    assert np.abs(table(after)[:, 0] - table(made)[:, 0]).max() <= worst + 0.002 * (kind == "remi")


def test_time_is_in_seconds_whatever_the_tempo():
    slow, fast = score(50, tempo=50.0), score(50, tempo=200.0)
    ends = [detokenize("midi-like", tokenize("midi-like", content(s)).tokens) for s in (slow, fast)]
    assert table(ends[0])[:, 0].max() == pytest.approx(4 * table(ends[1])[:, 0].max(), abs=0.05)


def test_tracks_become_one_instrument_without_drums():
    made = score(300, tracks=3)
    drums = symusic.Track(is_drum=True, program=0, name="drums")
    drums.notes.append(symusic.Note(0, 10, 40, 100))
    made.tracks.append(drums)
    piece = tokenize("midi-like", content(made))
    assert piece.num_notes == 300
    assert detokenize("midi-like", piece.tokens).note_num() == 300


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


def test_music_that_makes_no_sense_can_be_played():
    rng = np.random.default_rng(0)
    for kind in TOKENIZERS:
        tokens = rng.integers(0, len(miditok_tokenizer(kind)), 3000)
        assert np.isfinite(detokenize(kind, tokens).to("second").end())
        assert detokenize(kind, np.array([BEGIN])).note_num() == 0


def test_notes_that_have_not_ended_end_with_the_music():
    tokens = tokenize("midi-like", content(score(40))).tokens
    vocabulary = miditok_tokenizer("midi-like").vocab
    offs = {token for name, token in vocabulary.items() if name.startswith("NoteOff")}
    cut = np.array([token for token in tokens if token not in offs])
    assert detokenize("midi-like", cut).note_num() == num_notes("midi-like", cut) == 40


def tempo(microseconds):
    return b"\0\xff\x51\x03" + microseconds.to_bytes(3, "big")


def midi(*events, ticks=480):
    track = b"".join(events) + b"\0\xff\x2f\0"
    head = b"MThd\0\0\0\6\0\0\0\1" + ticks.to_bytes(2, "big")
    return head + b"MTrk" + len(track).to_bytes(4, "big") + track


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
        (midi(), "holds no notes"),
        (midi(DRUM), "holds drums alone"),
        (midi(LONG, LONG, LONG), "hours: its tempo or its times are damaged"),
        (midi(tempo(1), *[NOTE] * 2000), "plays 2,000 notes in .* s: its tempo is damaged"),
    ],
)
def test_files_that_cannot_be_used(file, reason):
    with pytest.raises(UnusableFileError, match=reason):
        tokenize("midi-like", file)


@pytest.mark.parametrize("microseconds", [0, 1, 0xFFFFFF])
def test_one_note_at_any_tempo(microseconds):
    made = parse_midi(midi(tempo(microseconds), NOTE))
    assert len(notes_of(made)) == 1
    for kind in TOKENIZERS:
        assert tokenize(kind, midi(tempo(microseconds), NOTE)).num_notes == 1


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_page_states_the_vocabulary(kind):
    page = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
    size = len(miditok_tokenizer(kind))
    stated = "the 388 events of the Music Transformer, + 3" if size == 391 else f"{size}: "
    assert re.search(rf"^\| `{kind}` \|.*{re.escape(stated)}", page, flags=re.MULTILINE)
