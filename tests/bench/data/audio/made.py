"""Sounds for tests."""

import numpy as np
import soundfile


def tone(seconds, rate, *, hertz=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def write_tone(path, seconds=0.5, rate=16000, *, subtype=None, channels=1, **kwargs):
    samples = np.repeat(tone(seconds, rate, **kwargs)[:, None], channels, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path
