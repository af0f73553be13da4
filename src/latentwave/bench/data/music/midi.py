"""Reads MIDI files, however damaged, as the notes of one instrument."""

import contextlib
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.corpus import UnusableFileError

TICKS_PER_SECOND = 100
BEATS_PER_MINUTE = 120  # the tempo of a MIDI file that states none
LONGEST_SECONDS = 24 * 3600.0
MOST_NOTES_PER_SECOND = 1000.0
# The first bytes of events that a track with a note, or with a pedal, must hold.
_NOTE_ON = re.compile(rb"[\x90-\x9f]")
_PEDAL = re.compile(rb"[\xb0-\xbf]")


class Notes(NamedTuple):
    """Notes in order of their onset."""

    onset: NDArray[Any]  # in seconds, or in ticks of the beat
    end: NDArray[Any]  # in the same unit
    pitch: NDArray[Any]  # 0 … 127
    velocity: NDArray[Any]  # 1 … 127


def symusic() -> Any:
    """The package that reads and writes MIDI files."""
    return optional_package("symusic", "music", "music")


def parse_midi(content: bytes, lost: list[str] | None = None) -> Any:
    """Read a MIDI file as far as possible: a `symusic.Score` in ticks.

    Pedals act on their channel, whichever track they are in. Tempos of 0 are ignored. `lost` gets
    a message for what could not be read.

    Raises:
        UnusableFileError: if it is damaged, holds nothing to play, or its times are impossible.
    """
    read = symusic().Score.from_midi
    lost = [] if lost is None else lost
    # symusic applies pedals to a track, not to a channel.
    tracks, num_tracks = list(enumerate(_tracks(content))), int.from_bytes(content[10:12], "big")
    if len(tracks) < num_tracks:
        lost.append(f"{num_tracks - len(tracks)} of {num_tracks} tracks are missing")
    with_notes = {number for number, (track, _) in tracks if _NOTE_ON.search(track)}
    if any(with_notes - {number} for number, (track, _) in tracks if _PEDAL.search(track)):
        content = _in_one_track(content, lost)
    try:
        score = read(content)
    except (RuntimeError, ValueError) as error:
        score = None
        with contextlib.suppress(RuntimeError, ValueError):
            score = read(_in_one_track(content, lost))
        if score is None or not score.note_num():
            reason = str(error).removeprefix("MiniMidi: ").split(":", maxsplit=1)[0]
            raise UnusableFileError(f"is damaged or no MIDI ({reason})") from error
        lost += [] if lost else ["it is damaged"]
    score.tempos = [tempo for tempo in score.tempos if tempo.mspq > 0]
    if score.ticks_per_quarter < 1:
        raise UnusableFileError("is damaged: it has no ticks per beat")
    num_notes = sum(len(track.notes) for track in score.tracks if not track.is_drum)
    if not num_notes:
        raise UnusableFileError("holds drums alone" if score.note_num() else "holds no notes")
    seconds = float(score.to("second").end())
    if not seconds <= LONGEST_SECONDS:
        hours = f"{seconds / 3600:,.0f} hours"
        raise UnusableFileError(f"lasts {hours}: its tempo or its times are damaged")
    if num_notes > max(1.0, seconds) * MOST_NOTES_PER_SECOND:
        raise UnusableFileError(
            f"plays {num_notes:,} notes in {seconds:.3g} s: its tempo is damaged"
        )
    return score


def _tracks(content: bytes) -> list[tuple[bytes, int]]:
    """The tracks of a MIDI file and their stated sizes; a track that is cut off is shorter."""
    tracks, place = [], 8 + int.from_bytes(content[4:8], "big")
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "big")
        if content[place : place + 4] == b"MTrk":
            tracks.append((content[place + 8 : place + 8 + size], size))
        place += 8 + size
    return tracks


def _in_one_track(content: bytes, lost: list[str]) -> bytes:
    """A MIDI file with all readable events in one track, in the order of their times."""
    events: list[tuple[int, bytes]] = []
    for number, (track, size) in enumerate(_tracks(content), 1):
        found, num_read = _events(track)
        events += found
        if num_read < size:
            lost.append(
                f"{size - num_read:,} of {size:,} bytes of track {number} are missing or damaged"
            )
    events.sort(key=lambda event: event[0])
    body, now = bytearray(), 0
    for tick, event in events:
        delta = tick - now  # in four bytes of seven bits, all but the last with the eighth bit set
        body += bytes(delta >> shift & 0x7F | 0x80 for shift in (21, 14, 7))
        body += bytes([delta & 0x7F]) + event
        now = tick
    body += b"\0\xff\x2f\0"
    head = b"MThd\0\0\0\6\0\0\0\1" + content[12:14]
    return head + b"MTrk" + len(body).to_bytes(4, "big") + bytes(body)


def _events(track: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Notes, pedals, tempos and time signatures with their ticks, and the number of bytes read."""
    events, place, tick, status = [], 0, 0, 0
    while place < len(track):
        try:
            delta, start = _number(track, place)
            if track[start] >= 0xF0:
                size, stop = _number(track, start + 1 + (track[start] == 0xFF))
                is_kept = track[start : start + 2] in (b"\xff\x51", b"\xff\x58")
                event = track[start : stop + size]
            else:
                if track[start] & 0x80:
                    status, start = track[start], start + 1
                stop, size = start, 1 if status & 0xE0 == 0xC0 else 2
                event = bytes([status]) + track[start : stop + size]
                if status < 0x80 or any(byte & 0x80 for byte in event[1:]):
                    break
                is_kept = status < 0xA0 or (status & 0xF0 == 0xB0 and event[1] == 64)
        except IndexError:
            break
        if stop + size > len(track):
            break
        tick, place = tick + delta, stop + size
        if is_kept:
            events.append((tick, event))
    return events, place


def _number(track: bytes, place: int) -> tuple[int, int]:
    """A number in up to four bytes of seven bits each, and the place after it."""
    value = 0
    for place in range(place, place + 4):  # noqa: B020, PLR1704
        value = value << 7 | track[place] & 0x7F
        if not track[place] & 0x80:
            return value, place + 1
    raise IndexError(place)


def notes_of(score: Any, *, sustain: bool = True) -> Notes:
    """The notes of all tracks but the drums as one instrument, sorted by onset, then pitch.

    With `sustain`, a note that ends while its track's sustain pedal is down lasts until the pedal
    rises or its key is struck again, as in Oore et al., "This Time with Feeling" (2018).
    """
    parts = []
    for track in score.tracks:
        if track.is_drum or not len(track.notes):
            continue
        values = track.notes.numpy()
        end = values["time"] + values["duration"]
        part = Notes(values["time"], end, values["pitch"], values["velocity"])
        if sustain and len(track.pedals):
            pedals = track.pedals.numpy()
            part = _sustained(part, pedals["time"], pedals["time"] + pedals["duration"])
        parts.append(part)
    nothing = Notes(*[np.empty(0, np.int32)] * 4)
    notes = Notes(*map(np.concatenate, zip(*(parts or [nothing]), strict=True)))
    order = np.lexsort((notes.pitch, notes.onset))
    return Notes(*(column[order] for column in notes))


def time_score(notes: Notes) -> Any:
    """Notes in seconds as a `symusic.Score` of one piano track, at 120 beats per minute.

    Times are rounded to ticks of 10 ms; a note lasts at least one tick.
    """
    seconds = np.stack([notes.onset, notes.end]).astype(np.float64)
    onset, end = np.rint(seconds * TICKS_PER_SECOND).astype(np.int32)
    package = symusic()
    score = package.Score(TICKS_PER_SECOND * 60 // BEATS_PER_MINUTE)
    score.tempos.append(package.Tempo(0, BEATS_PER_MINUTE))
    score.tracks.append(_piano(notes._replace(onset=onset, end=end)))
    return score


def beat_score(source: Any) -> Any:
    """A score in beats, with all its tracks but the drums as one piano track."""
    score = symusic().Score(source.ticks_per_quarter)
    score.tempos = source.tempos.copy()
    score.time_signatures = source.time_signatures.copy()
    score.tracks.append(_piano(notes_of(source)))
    return score


def _piano(notes: Notes) -> Any:
    package = symusic()
    track = package.Track(name="Piano", program=0)
    duration = np.maximum(notes.end - notes.onset, 1)
    track.notes = package.Note.from_numpy(notes.onset, duration, notes.pitch, notes.velocity)
    return track


def _sustained(notes: Notes, down: NDArray[Any], up: NDArray[Any]) -> Notes:
    """The notes of one track, held by its pedal."""
    index = np.searchsorted(down, notes.end, side="right") - 1
    is_held = (index >= 0) & (notes.end < up[index])
    # A note ends at the next onset of its pitch.
    struck_again = np.full(len(notes.pitch), np.inf)
    for pitch in np.unique(notes.pitch):
        same_key = np.flatnonzero(notes.pitch == pitch)
        onsets = np.unique(notes.onset[same_key])
        following = np.searchsorted(onsets, notes.onset[same_key], side="right")
        struck_again[same_key] = np.append(onsets.astype(np.float64), np.inf)[following]
    held_end = np.maximum(notes.end, np.minimum(up[index], struck_again))
    return notes._replace(end=np.where(is_held, held_end, notes.end).astype(notes.end.dtype))
