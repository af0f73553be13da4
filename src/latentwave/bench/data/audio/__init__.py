"""Recordings: from audio files to samples and 8-bit tokens, and back to sound."""

from latentwave.bench.data.audio.codec import CODECS, SampleCodec

__all__ = ["CODECS", "SampleCodec"]
