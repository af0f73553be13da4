"""Codecs between MIDI files and events: MidiTok's tokenizers, set up for one instrument."""

import functools
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from latentwave.bench.data.codec import MediaCodec, optional_package
from latentwave.bench.data.music.midi import beat_score, notes_of, parse_midi, time_score
from latentwave.errors import UserError

_IN_TIME: dict[str, Any] = {"use_tempos": False, "use_time_signatures": False}
_IN_BEATS: dict[str, Any] = {
    "use_tempos": True,
    "num_tempos": 41,  # steps of 5 beats per minute, which include 60, 90 and 120
    "tempo_range": (40, 240),
    "use_time_signatures": True,
}
# MidiTok's class, its steps per beat for ranges of beats, and its other settings. At 120 beats per
# minute, 50 steps per beat are steps of 10 ms. All write time shifts, but REMI, which writes bars,
# positions and tempos; MIDILike writes note-ons and note-offs, the others notes with durations.
_SETTINGS: dict[str, tuple[str, dict[tuple[int, int], int], dict[str, Any]]] = {
    "midi-like": ("MIDILike", {(0, 2): 50}, _IN_TIME),
    "tsd": ("TSD", {(0, 2): 50, (2, 20): 10}, _IN_TIME),
    "structured": ("Structured", {(0, 10): 50}, _IN_TIME),
    "remi": ("REMI", {(0, 4): 12, (4, 12): 6}, _IN_BEATS),
}
TOKENIZERS = tuple(_SETTINGS)
BEGIN, END = 1, 2
NUM_SPECIAL = 3  # the first, PAD, only because MidiTok requires it


@functools.lru_cache(maxsize=8)
def miditok_tokenizer(kind: str) -> Any:
    """Build MidiTok's tokenizer of a kind."""
    miditok = optional_package("miditok", "music", "music")
    name, steps, settings = _SETTINGS[kind]
    config = miditok.TokenizerConfig(
        beat_res=steps,
        pitch_range=(0, 127),
        num_velocities=32,
        special_tokens=["PAD", "BOS", "EOS"],
        use_programs=False,
        use_pitchdrum_tokens=False,
        remove_duplicated_notes=True,
        **settings,
    )
    return getattr(miditok, name)(config)


def tokenize(kind: str, content: bytes, lost: list[str] | None = None) -> NDArray[np.uint16]:
    """The tokens of a MIDI file's content: BEGIN, the events, END; see `parse_midi`."""
    source = parse_midi(content, lost)
    score = beat_score(source) if kind == "remi" else time_score(notes_of(source.to("second")))
    (sequence,) = miditok_tokenizer(kind).encode(score)
    return np.array([BEGIN, *sequence.ids, END], dtype=np.uint16)


def detokenize(kind: str, tokens: NDArray[Any]) -> Any:
    """The music of any sequence of tokens, a `symusic.Score` in ticks.

    Notes without an end end with the music. Special tokens are ignored.
    """
    tokenizer = miditok_tokenizer(kind)
    ids = [int(token) for token in tokens if token >= NUM_SPECIAL]
    if kind == "midi-like":
        ids += _missing_ends(tokenizer.vocab, ids)
    return tokenizer.decode([ids])


def _missing_ends(vocabulary: dict[str, int], ids: list[int]) -> list[int]:
    ends = {vocabulary[f"NoteOn_{pitch}"]: vocabulary[f"NoteOff_{pitch}"] for pitch in range(128)}
    sounding = dict.fromkeys(ends.values(), 0)
    for token in ids:
        if token in ends:
            sounding[ends[token]] += 1
        elif sounding.get(token):
            sounding[token] -= 1
    missing = [end for end, count in sounding.items() for _ in range(count)]
    # A shift first: MidiTok drops notes without a duration.
    return [vocabulary["TimeShift_0.25.50"], *missing] if missing else []


class EventCodec(MediaCodec):
    """The events of MidiTok, with a token before and after each piece."""

    unit = "note"
    decodes_to = "music"
    a_file = "a MIDI file"
    suffixes = (".mid", ".midi")
    dtype = "uint16"
    end_token = END

    def __init__(self) -> None:
        self._names = list(miditok_tokenizer(self.kind).vocab)
        self.vocab_size = len(self._names)
        self._is_note = np.array([name.startswith(("NoteOn_", "Pitch_")) for name in self._names])

    def encode(self, piece: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The piece itself: `tokenize` has made it tokens."""
        return piece

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """How many notes the tokens hold."""
        return {self.unit: int(self._is_note[tokens].sum())}

    def begin(self) -> NDArray[np.uint16]:
        """The token before each piece."""
        return np.array([BEGIN], dtype=np.uint16)

    def notes(self, tokens: NDArray[Any]) -> Float[np.ndarray, "notes 4"]:
        """Onset and end in seconds, pitch and velocity of every note, in order of onsets."""
        notes = notes_of(detokenize(self.kind, tokens).to("second"), sustain=False)
        return np.stack([column.astype(np.float64) for column in notes], axis=1)

    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens last."""
        return float(detokenize(self.kind, tokens).to("second").end())

    def encode_file(self, path: Path, lost: list[str]) -> NDArray[np.uint16]:
        """The tokens of a MIDI file, without END."""
        return tokenize(self.kind, path.read_bytes(), lost)[:-1]

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write a MIDI file of one piano track."""
        detokenize(self.kind, tokens).dump_midi(str(path))

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """MidiTok's names of the events, such as "Pitch_60"."""
        return [self._names[token] for token in tokens.tolist()]

    def save(self, folder: Path) -> dict[str, Any]:
        """The version of MidiTok and what every token means, as settings."""
        return {"miditok": version("miditok"), "vocabulary": self._names}

    @classmethod
    def load(
        cls, folder: Path, *, miditok: str = "", vocabulary: Any = None, **_: Any
    ) -> "EventCodec":
        """The codec; a UserError if the installed MidiTok gives tokens other meanings."""
        codec = cls()
        if vocabulary != codec._names:
            raise UserError(
                f"{folder} was written with MidiTok {miditok}, whose vocabulary differs from that "
                f"of MidiTok {version('miditok')}: install that version, or prepare the corpus "
                "again"
            )
        return codec


CODECS: tuple[type[EventCodec], ...] = tuple(
    type(_SETTINGS[kind][0], (EventCodec,), {"kind": kind, "__module__": __name__})
    for kind in TOKENIZERS
)
