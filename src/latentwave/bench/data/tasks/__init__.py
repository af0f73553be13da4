"""Labelled corpora for classifiers: long-range tasks and sound clips."""
