"""Corpora, from files to memory-mapped token stores to windows of tokens."""

from latentwave.bench.data.codec import Codec, MediaCodec
from latentwave.bench.data.config import CORPORA, CorpusConfig, CorpusKind
from latentwave.bench.data.corpora import CODECS, guess_corpus, load_codec, save_codec
from latentwave.bench.data.corpus import Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.metadata import Provenance, SkippedFile, Source, Split, StoreMetadata
from latentwave.bench.data.prepare import prepare
from latentwave.bench.data.store import TokenStore, open_store
from latentwave.bench.data.windows import DocumentBorders, GridWindows, RandomWindows, TokenBatches

__all__ = [
    "CODECS",
    "CORPORA",
    "Codec",
    "Corpus",
    "CorpusConfig",
    "CorpusKind",
    "Document",
    "DocumentBorders",
    "GridWindows",
    "MediaCodec",
    "Provenance",
    "RandomWindows",
    "SkippedFile",
    "Source",
    "Split",
    "StoreMetadata",
    "TokenBatches",
    "TokenStore",
    "UnreadableDocumentError",
    "guess_corpus",
    "load_codec",
    "open_store",
    "prepare",
    "save_codec",
]
