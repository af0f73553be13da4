"""What commands that read a corpus share."""

from __future__ import annotations

from pathlib import Path

from latentwave import data


def corpus_config(corpus: str) -> data.CorpusConfig:
    """The corpus that a name, a file or a folder means."""
    if corpus == "python-docs" and not Path(corpus).exists():
        return data.CorpusConfig(name="python-docs")
    return data.CorpusConfig(name="text", path=corpus)
