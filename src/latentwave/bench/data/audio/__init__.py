"""Recordings: files to samples to 8-bit tokens, and back to sound."""

from latentwave.bench.data.audio.codec import SampleCodec
from latentwave.bench.data.audio.files import read_audio
from latentwave.bench.data.audio.kinds import CODECS, KINDS
from latentwave.bench.data.audio.resampling import resample

__all__ = ["CODECS", "KINDS", "SampleCodec", "read_audio", "resample"]
