"""Corpora, from files to memory-mapped token stores to windows of tokens."""

from latentwave.bench.data.codec import Codec, MediaCodec
from latentwave.bench.data.config import CORPORA, CorpusConfig, CorpusKind
from latentwave.bench.data.corpora import CODECS, guess_corpus, load_codec, save_codec
from latentwave.bench.data.corpus import Document, UnreadableDocumentError
from latentwave.bench.data.metadata import Source
from latentwave.bench.data.prepare import prepare
from latentwave.bench.data.store import TokenStore, open_store
from latentwave.bench.data.windows import DocumentBorders, GridWindows, RandomWindows, TokenBatches

__all__ = [
    "CODECS",
    "CORPORA",
    "Codec",
    "CorpusConfig",
    "CorpusKind",
    "Document",
    "DocumentBorders",
    "GridWindows",
    "MediaCodec",
    "RandomWindows",
    "Source",
    "TokenBatches",
    "TokenStore",
    "UnreadableDocumentError",
    "guess_corpus",
    "load_codec",
    "open_store",
    "prepare",
    "save_codec",
]
