"""The text corpora and codecs by name."""

from __future__ import annotations

from pathlib import Path

from latentwave.data.codec import Codec, Encoder
from latentwave.data.config import CorpusConfig, CorpusKind
from latentwave.data.corpus import Corpus
from latentwave.data.text.bytes import ByteCodec
from latentwave.data.text.characters import CharacterCodec, GrowingCharacters
from latentwave.data.text.files import TextFiles
from latentwave.data.text.python_docs import PythonDocs

TOKENIZERS = ("characters", "bytes")


def _codec(config: CorpusConfig, corpus: Corpus) -> Encoder:
    return GrowingCharacters() if config.tokenizer_name == "characters" else ByteCodec()


def _text_files(config: CorpusConfig) -> Corpus:
    return TextFiles(Path(config.path or "").expanduser())


def _python_docs(config: CorpusConfig) -> Corpus:
    return PythonDocs()


KINDS = (
    CorpusKind(name="python-docs", tokenizers=TOKENIZERS, open=_python_docs, codec=_codec),
    CorpusKind(
        name="text",
        tokenizers=TOKENIZERS,
        open=_text_files,
        codec=_codec,
        options=("path",),
        needs_path="a text file or a folder of them",
    ),
)
CODECS: tuple[type[Codec], ...] = (CharacterCodec, ByteCodec)
