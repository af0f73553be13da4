"""MidiTok's tokenizers, set up for one instrument."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.music.midi import beat_score, notes_of, parse_midi, time_score
from latentwave.errors import UserError

# Beats of MidiTok: 2 beats are a second at 120 a minute, so 50 steps to the beat are 10 ms.
_SECOND = {(0, 2): 50}
_TEN_SECONDS = {(0, 2): 50, (2, 20): 10}
_FIVE_SECONDS = {(0, 10): 50}
_SCORE = {(0, 4): 12, (4, 12): 6}
_IN_TIME: dict[str, Any] = {"use_tempos": False, "use_time_signatures": False}
_IN_BEATS: dict[str, Any] = {
    "use_tempos": True,
    "num_tempos": 41,  # every 5 beats a minute, so that 60, 90 and 120 are there
    "tempo_range": (40, 240),
    "use_time_signatures": True,
}
_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "midi-like": ("MIDILike", {"beat_res": _SECOND, **_IN_TIME}),
    "tsd": ("TSD", {"beat_res": _TEN_SECONDS, **_IN_TIME}),
    "structured": ("Structured", {"beat_res": _FIVE_SECONDS, **_IN_TIME}),
    "remi": ("REMI", {"beat_res": _SCORE, **_IN_BEATS}),
}
TOKENIZERS = tuple(_SETTINGS)
BEGIN, END = 1, 2
NUM_SPECIAL = 3  # MidiTok demands the first, PAD


@dataclasses.dataclass(frozen=True)
class Piece:
    """A tokenized piece of music.

    Attributes:
        tokens: BEGIN, the events, END.
        num_notes: that the tokens stand for.
    """

    tokens: NDArray[np.uint16]
    num_notes: int


@functools.lru_cache(maxsize=8)
def miditok_tokenizer(kind: str) -> Any:
    """MidiTok's tokenizer of that kind.

    Raises:
        UserError: if MidiTok is not installed.
    """
    try:
        import miditok
    except ImportError as error:
        raise UserError(
            "music cannot be tokenized without miditok: pip install 'latentwave[music]'"
        ) from error
    name, settings = _SETTINGS[kind]
    config = miditok.TokenizerConfig(
        pitch_range=(0, 127),
        num_velocities=32,
        special_tokens=["PAD", "BOS", "EOS"],
        use_programs=False,
        use_pitchdrum_tokens=False,
        remove_duplicated_notes=True,
        **settings,
    )
    return getattr(miditok, name)(config)


def tokenize(kind: str, content: bytes, lost: list[str] | None = None) -> Piece:
    """The tokens of a MIDI file.

    Args:
        kind: of tokenizer.
        content: of the file.
        lost: takes in words for what could not be read.

    Raises:
        UnusableFileError: if the file cannot be used.
        UserError: if MidiTok is not installed.
    """
    source = parse_midi(content, lost)
    score = beat_score(source) if kind == "remi" else time_score(notes_of(source.to("second")))
    (sequence,) = miditok_tokenizer(kind).encode(score)
    tokens = np.array([BEGIN, *sequence.ids, END], dtype=np.uint16)
    return Piece(tokens, num_notes(kind, tokens))


def num_notes(kind: str, tokens: NDArray[Any]) -> int:
    """The notes that tokens stand for."""
    return int(_is_note(kind)[tokens].sum())


def detokenize(kind: str, tokens: NDArray[Any]) -> Any:
    """The music of tokens, those of a model included, which need not make sense.

    A note that has begun and not ended ends with the music. BEGIN and END are passed over.

    Returns:
        A `symusic.Score` in ticks.
    """
    tokenizer = miditok_tokenizer(kind)
    ids = [int(token) for token in tokens if token >= NUM_SPECIAL]
    if kind == "midi-like":
        ids += _missing_ends(tokenizer, ids)
    return tokenizer.decode([ids])


def _missing_ends(tokenizer: Any, ids: list[int]) -> list[int]:
    vocabulary = tokenizer.vocab
    begins = {vocabulary[f"NoteOn_{pitch}"]: pitch for pitch in range(128)}
    ends = {vocabulary[f"NoteOff_{pitch}"]: pitch for pitch in range(128)}
    sounding = dict.fromkeys(range(128), 0)
    for token in ids:
        if token in begins:
            sounding[begins[token]] += 1
        elif token in ends:
            pitch = ends[token]
            sounding[pitch] = max(0, sounding[pitch] - 1)
    off = {pitch: token for token, pitch in ends.items()}
    missing = [off[pitch] for pitch, count in sounding.items() for _ in range(count)]
    # At once they would end as they begin; MidiTok leaves out notes without a duration.
    return [vocabulary["TimeShift_0.25.50"], *missing] if missing else []


@functools.lru_cache(maxsize=8)
def _is_note(kind: str) -> NDArray[np.bool_]:
    """Which tokens stand for one note each."""
    vocabulary = miditok_tokenizer(kind).vocab
    return np.array([name.startswith(("NoteOn_", "Pitch_")) for name in vocabulary])
