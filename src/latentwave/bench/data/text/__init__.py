"""Text: corpora of files, and characters, bytes or byte pairs as tokens."""

from latentwave.bench.data.text.kinds import CODECS, KINDS

__all__ = ["CODECS", "KINDS"]
