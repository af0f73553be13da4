"""Recordings: files to samples to 8-bit tokens, and back to sound."""

from latentwave.data.audio.codec import SampleCodec
from latentwave.data.audio.files import read_audio
from latentwave.data.audio.kinds import CODECS, KINDS
from latentwave.data.audio.resampling import resample

__all__ = ["CODECS", "KINDS", "SampleCodec", "read_audio", "resample"]
