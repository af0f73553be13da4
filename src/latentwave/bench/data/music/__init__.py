"""Symbolic music: MIDI files to events to tokens, and back to MIDI files."""

from latentwave.bench.data.music.codec import CODECS, EventCodec
from latentwave.bench.data.music.kinds import KINDS

__all__ = ["CODECS", "KINDS", "EventCodec"]
