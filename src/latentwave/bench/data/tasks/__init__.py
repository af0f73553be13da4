"""Labelled corpora: long-range tasks and sound clips."""

from latentwave.bench.data.tasks.kinds import CODECS, KINDS

__all__ = ["CODECS", "KINDS"]
