"""Corpora, from files to memory-mapped token stores to windows of tokens."""

from latentwave.data.config import CorpusConfig
from latentwave.data.metadata import Provenance, Source, StoreMetadata
from latentwave.data.prepare import default_store_path, prepare
from latentwave.data.store import TokenStore, open_store
from latentwave.data.windows import GridWindows, RandomWindows

__all__ = [
    "CorpusConfig",
    "GridWindows",
    "Provenance",
    "RandomWindows",
    "Source",
    "StoreMetadata",
    "TokenStore",
    "default_store_path",
    "open_store",
    "prepare",
]
