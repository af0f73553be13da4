"""The codecs between MIDI files and events."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from latentwave.bench.data.codec import MediaCodec
from latentwave.bench.data.corpus import UnusableFileError
from latentwave.bench.data.json_files import read_json
from latentwave.bench.data.music.midi import notes_of
from latentwave.bench.data.music.tokens import (
    BEGIN,
    END,
    Piece,
    detokenize,
    miditok_tokenizer,
    num_notes,
    tokenize,
)
from latentwave.errors import UserError

FILE = "music.json"


@dataclasses.dataclass(frozen=True)
class _Meaning:
    miditok: str
    vocabulary: list[str]


class EventCodec(MediaCodec):
    """The events of music, as MidiTok writes them, with a token before and after each piece."""

    unit = "note"
    decodes_to = "music"
    extra = "music"
    suffix = ".mid"
    dtype = "uint16"
    end_token = END

    def __init__(self) -> None:
        self.vocab_size = len(miditok_tokenizer(self.kind))

    def encode(self, piece: Piece) -> NDArray[np.uint16]:
        """The tokens of a piece, which it brings along: BEGIN, events, END."""
        return piece.tokens

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """The notes that the tokens stand for."""
        return {self.unit: num_notes(self.kind, tokens)}

    def begin(self) -> NDArray[np.uint16]:
        """The token before each piece."""
        return np.array([BEGIN], dtype=np.uint16)

    def notes(self, tokens: NDArray[Any]) -> Float[np.ndarray, "notes 4"]:
        """Onset and end in seconds, pitch and velocity of every note, by onset."""
        notes = notes_of(detokenize(self.kind, tokens).to("second"), sustain=False)
        columns = (notes.onset, notes.end, notes.pitch, notes.velocity)
        return np.stack([column.astype(np.float64) for column in columns], axis=1)

    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens sound."""
        return float(detokenize(self.kind, tokens).to("second").end())

    def encode_prompt(self, prompt: str) -> NDArray[np.uint16]:
        """The tokens of a MIDI file, without END.

        Raises:
            UserError: if it is missing or cannot be used.
        """
        path = Path(prompt).expanduser()
        if not path.is_file():
            raise UserError(f"the prompt of this model is a MIDI file; there is none at {path}")
        try:
            return tokenize(self.kind, path.read_bytes()).tokens[:-1]
        except UnusableFileError as fault:
            raise UserError(f"the prompt {path} {fault}") from fault

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Write a MIDI file of one piano track."""
        detokenize(self.kind, tokens).dump_midi(str(path))

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """The events by MidiTok's names, such as "Pitch_60"."""
        names = list(miditok_tokenizer(self.kind).vocab)
        return [names[token] for token in tokens.tolist()]

    def save(self, folder: Path) -> None:
        """Write `music.json`: what every token means."""
        meaning = _Meaning(version("miditok"), list(miditok_tokenizer(self.kind).vocab))
        text = json.dumps(dataclasses.asdict(meaning))
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> EventCodec:
        """Read what `save` wrote.

        Raises:
            UserError: if the MidiTok that is installed gives the tokens other meanings.
        """
        meaning: _Meaning = read_json(folder / FILE, "prepare the corpus again", _Meaning)
        if meaning.vocabulary != list(miditok_tokenizer(cls.kind).vocab):
            raise UserError(
                f"{folder} was written with MidiTok {meaning.miditok}, whose vocabulary differs "
                f"from that of MidiTok {version('miditok')}: install that version, or prepare the "
                "corpus again"
            )
        return cls()


class MidiLike(EventCodec):
    """Note-on, note-off, time shifts of 10 ms to 1 s, and velocities."""

    kind = "midi-like"


class Remi(EventCodec):
    """Bars, positions in the bar, tempos, and notes with velocity and duration in beats."""

    kind = "remi"


class Tsd(EventCodec):
    """Time shifts, and notes with velocity and duration."""

    kind = "tsd"


class Structured(EventCodec):
    """Pitch, velocity, duration, time shift, always in this order."""

    kind = "structured"


CODECS: tuple[type[EventCodec], ...] = (MidiLike, Tsd, Structured, Remi)
