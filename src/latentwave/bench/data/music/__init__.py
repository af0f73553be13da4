"""Symbolic music: from MIDI files to events and tokens, and back to MIDI files."""

from latentwave.bench.data.music.codec import CODECS, EventCodec

__all__ = ["CODECS", "EventCodec"]
