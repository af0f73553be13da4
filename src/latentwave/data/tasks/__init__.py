"""Labelled corpora: long-range tasks and sound clips, and batches of their documents."""

from latentwave.data.tasks.examples import (
    EvenExamples,
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
)
from latentwave.data.tasks.kinds import CODECS, KINDS

__all__ = [
    "CODECS",
    "KINDS",
    "EvenExamples",
    "LabelledExamples",
    "PadExamples",
    "ShuffledExamples",
]
