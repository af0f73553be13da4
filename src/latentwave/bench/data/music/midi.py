"""MIDI files as notes of one instrument, and what can be wrong with them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.media import UnusableFileError
from latentwave.errors import UserError

TICKS_PER_SECOND = 100
BEATS_PER_MINUTE = 120  # what a MIDI file without a tempo plays at
LONGEST_SECONDS = 24 * 3600.0
MOST_NOTES_PER_SECOND = 1000.0


@dataclasses.dataclass(frozen=True)
class Notes:
    """Notes in order of their onset.

    Attributes:
        onset: in seconds, or in ticks of the beat.
        end: in the same unit.
        pitch: 0 … 127.
        velocity: 1 … 127.
    """

    onset: NDArray[Any]
    end: NDArray[Any]
    pitch: NDArray[Any]
    velocity: NDArray[Any]

    def __len__(self) -> int:
        """Notes."""
        return len(self.onset)


def symusic() -> Any:
    """The package that reads and writes MIDI files.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import symusic as package
    except ImportError as error:
        raise UserError(
            "MIDI files cannot be read without symusic: pip install 'latentwave[music]'"
        ) from error
    return package


def parse_midi(content: bytes) -> Any:
    """Read the bytes of a MIDI file.

    Returns:
        A `symusic.Score` in ticks, with at least one note that is not a drum's, of a length that
        a piece can have.

    Raises:
        UnusableFileError: if it is damaged, holds nothing to play, or its times are impossible.
        UserError: if symusic is not installed.
    """
    package = symusic()
    try:
        score = package.Score.from_midi(content)
    except (RuntimeError, ValueError) as error:
        reason = str(error).removeprefix("MiniMidi: ").split(":", maxsplit=1)[0]
        raise UnusableFileError(f"is damaged or no MIDI ({reason})") from error
    if score.ticks_per_quarter < 1:
        raise UnusableFileError("is damaged: it has no ticks per beat")
    num_notes = sum(len(track.notes) for track in score.tracks if not track.is_drum)
    if not num_notes:
        raise UnusableFileError("holds drums alone" if score.note_num() else "holds no notes")
    seconds = float(score.to("second").end())
    if not math.isfinite(seconds) or seconds > LONGEST_SECONDS:
        hours = f"{seconds / 3600:,.0f} hours" if math.isfinite(seconds) else "for ever"
        raise UnusableFileError(f"lasts {hours}: its tempo or its times are damaged")
    if num_notes > max(1.0, seconds) * MOST_NOTES_PER_SECOND:
        raise UnusableFileError(
            f"plays {num_notes:,} notes in {seconds:.3g} s: its tempo is damaged"
        )
    return score


def notes_of(score: Any, *, sustain: bool = True) -> Notes:
    """The notes of all tracks but the drums', as one instrument.

    Args:
        score: a `symusic.Score`, in seconds or in ticks.
        sustain: a note that ends while its track's sustain pedal is down sounds on until the
            pedal rises or its key is struck again, as in Oore et al., "This Time with Feeling"
            (2018).

    Returns:
        The notes by onset, then pitch.
    """
    parts = []
    for track in score.tracks:
        if track.is_drum or not len(track.notes):
            continue
        values = track.notes.numpy()
        part = Notes(
            values["time"],
            values["time"] + values["duration"],
            values["pitch"],
            values["velocity"],
        )
        if sustain and len(track.pedals):
            pedals = track.pedals.numpy()
            part = _sustained(part, pedals["time"], pedals["time"] + pedals["duration"])
        parts.append(part)
    columns = [
        np.concatenate([getattr(part, field.name) for part in parts])
        if parts
        else np.empty(0, np.int32)
        for field in dataclasses.fields(Notes)
    ]
    order = np.lexsort((columns[2], columns[0]))
    return Notes(*(column[order] for column in columns))


def time_score(notes: Notes) -> Any:
    """Notes in seconds as a score whose tick lasts 10 ms.

    Onsets are rounded to the nearest tick; a note lasts one tick at least.

    Args:
        notes: with onset and end in seconds.

    Returns:
        A `symusic.Score` of one piano track at 120 beats a minute, 50 ticks to the beat.
    """
    onset = np.rint(notes.onset.astype(np.float64) * TICKS_PER_SECOND).astype(np.int32)
    end = np.rint(notes.end.astype(np.float64) * TICKS_PER_SECOND).astype(np.int32)
    package = symusic()
    score = package.Score(TICKS_PER_SECOND * 60 // BEATS_PER_MINUTE)
    score.tempos.append(package.Tempo(0, BEATS_PER_MINUTE))
    score.tracks.append(_piano(notes, onset, end))
    return score


def beat_score(source: Any, *, sustain: bool = True) -> Any:
    """The score itself, its time in beats, with all tracks but the drums' as one piano track."""
    notes = notes_of(source, sustain=sustain)
    score = symusic().Score(source.ticks_per_quarter)
    score.tempos = source.tempos.copy()
    score.time_signatures = source.time_signatures.copy()
    score.tracks.append(_piano(notes, notes.onset, notes.end))
    return score


def _piano(notes: Notes, onset: NDArray[np.int32], end: NDArray[np.int32]) -> Any:
    package = symusic()
    track = package.Track(name="Piano", program=0)
    duration = np.maximum(end - onset, 1)
    track.notes = package.Note.from_numpy(onset, duration, notes.pitch, notes.velocity)
    return track


def _sustained(notes: Notes, down: NDArray[Any], up: NDArray[Any]) -> Notes:
    """Notes of one track, held by its pedal."""
    index = np.searchsorted(down, notes.end, side="right") - 1
    is_held = (index >= 0) & (notes.end < up[index])
    released = np.where(is_held, up[index], notes.end)
    # The same key struck again ends the note; searched for among the onsets of its pitch.
    struck_again = np.full(len(notes), np.inf)
    for pitch in np.unique(notes.pitch):
        mine = np.flatnonzero(notes.pitch == pitch)
        onsets = np.unique(notes.onset[mine])
        following = np.searchsorted(onsets, notes.onset[mine], side="right")
        padded = np.append(onsets.astype(np.float64), np.inf)
        struck_again[mine] = padded[following]
    end = np.where(is_held, np.maximum(notes.end, np.minimum(released, struck_again)), notes.end)
    return dataclasses.replace(notes, end=end.astype(notes.end.dtype))
