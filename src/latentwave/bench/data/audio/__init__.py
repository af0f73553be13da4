"""Recordings: files to samples to 8-bit tokens, and back to sound."""

from latentwave.bench.data.audio.codec import CODECS, SampleCodec
from latentwave.bench.data.audio.files import read_audio

__all__ = ["CODECS", "SampleCodec", "read_audio"]
