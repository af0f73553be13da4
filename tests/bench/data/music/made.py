"""Music for tests."""

import random

import symusic


def score(num_notes=200, seed=0, *, pedal=False, tracks=1, ticks=480, tempo=100.0):
    """Notes at odd times, some together, never twice on one key at once."""
    rng = random.Random(seed)
    result = symusic.Score(ticks)
    result.tempos.append(symusic.Tempo(0, tempo))
    result.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for number in range(tracks):
        track, time = symusic.Track(name=f"track {number}", program=number), 0
        free = [0] * 128
        for _ in range(num_notes // tracks):
            time += rng.choice([0, rng.randrange(20, 400)])
            pitch = rng.randrange(21 + 30 * number, 50 + 30 * number)
            time = max(time, free[pitch])
            duration = rng.randrange(40, 600)
            free[pitch] = time + duration + 20
            track.notes.append(symusic.Note(time, duration, pitch, rng.randrange(1, 128)))
        if pedal:
            track.pedals.append(symusic.Pedal(0, time // 2))
        result.tracks.append(track)
    return result


def write_midi(path, *args, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    score(*args, **kwargs).dump_midi(str(path))
    return path
