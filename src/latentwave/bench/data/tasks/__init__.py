"""Labelled corpora: long-range tasks and sound clips."""
