"""Text: corpora of files, and characters, bytes or byte pairs as tokens."""

from latentwave.data.text.kinds import CODECS, KINDS

__all__ = ["CODECS", "KINDS"]
