"""Labelled corpora: long-range tasks and sound clips, and batches of their documents."""

from latentwave.bench.data.tasks.examples import (
    EvenExamples,
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
)
from latentwave.bench.data.tasks.kinds import CODECS, KINDS

__all__ = [
    "CODECS",
    "KINDS",
    "EvenExamples",
    "LabelledExamples",
    "PadExamples",
    "ShuffledExamples",
]
