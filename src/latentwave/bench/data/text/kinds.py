"""The text corpora and codecs by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from latentwave.bench.data.codec import Codec, Encoder
from latentwave.bench.data.config import CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.download import require
from latentwave.bench.data.text.benchmarks import Enwik8, Text8, WikiText
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.bench.data.text.characters import CharacterCodec, GrowingCharacters
from latentwave.bench.data.text.files import TextFiles
from latentwave.bench.data.text.python_code import PythonCode
from latentwave.bench.data.text.python_docs import PythonDocs
from latentwave.bench.data.text.records import (
    DEFAULT_FIELD,
    DiskDataset,
    JsonLines,
    is_disk_dataset,
    is_json_lines,
)
from latentwave.bench.data.text.shares import CharacterShares
from latentwave.bench.data.text.subwords import BytePairCodec, PretrainedCodec
from latentwave.errors import UserError

TOKENIZERS = ("characters", "bytes", "bpe", "pretrained")
DEFAULT_VOCAB_SIZE = 4096


def _codec(config: CorpusConfig, corpus: Corpus) -> Encoder:
    match config.tokenizer_name:
        case "characters":
            return GrowingCharacters()
        case "bytes":
            return ByteCodec()
        case "bpe":
            return BytePairCodec.train(corpus, config.vocab_size or DEFAULT_VOCAB_SIZE)
        case _:
            return PretrainedCodec.open(Path(config.tokenizer_path or "").expanduser())


def _check(config: CorpusConfig) -> None:
    if config.vocab_size is not None:
        if config.tokenizer_name != "bpe":
            raise UserError(
                f"vocab_size={config.vocab_size} is for the tokenizer 'bpe', not for "
                f"{config.tokenizer_name!r}"
            )
        if config.vocab_size < 256:
            raise UserError(f"vocab_size must be >= 256, all bytes, got {config.vocab_size}")
    if (config.tokenizer_name == "pretrained") != (config.tokenizer_path is not None):
        raise UserError(
            "the tokenizer 'pretrained' and the option tokenizer_path, a tokenizer.json, go "
            f"together; got {config.tokenizer_name!r} and {config.tokenizer_path!r}"
        )


def _kind(
    name: str,
    open_: Callable[[CorpusConfig], Corpus],
    *,
    tokenizers: tuple[str, ...] = TOKENIZERS,
    options: tuple[str, ...] = (),
    needs_path: str = "",
    download: str | None = None,
    recognises: Callable[[Path], bool] | None = None,
) -> CorpusKind:
    def opened(config: CorpusConfig) -> Corpus:
        corpus = open_(config)
        if config.tokenizer_name in ("bpe", "pretrained"):
            return CharacterShares(corpus, config.validation, config.test)
        return corpus

    return CorpusKind(
        name=name,
        tokenizers=tokenizers,
        open=opened,
        codec=_codec,
        options=(*(("path",) if needs_path else ()), *options, "vocab_size", "tokenizer_path"),
        needs_path=needs_path,
        download=download,
        check=_check,
        recognises=recognises,
    )


def _path(config: CorpusConfig) -> Path:
    if config.path is None and config.kind.download is not None:
        return require(config.kind.download)
    return Path(config.path or "").expanduser()


def _enwik8(config: CorpusConfig) -> Corpus:
    return Enwik8(_path(config), as_bytes=config.tokenizer_name == "bytes")


_BYTES_FIRST = ("bytes", *(name for name in TOKENIZERS if name != "bytes"))
_WIKITEXT = "the folder with a file for each split"

KINDS = (
    _kind("python-docs", lambda _: PythonDocs()),
    _kind("python-code", lambda _: PythonCode()),
    _kind(
        "text",
        lambda config: TextFiles(_path(config), config.pattern),
        options=("pattern",),
        needs_path="a text file or a folder of them",
    ),
    _kind(
        "jsonl",
        lambda config: JsonLines(_path(config), config.text_field or DEFAULT_FIELD),
        options=("text_field",),
        needs_path="a file of JSON lines or a folder of them",
        recognises=is_json_lines,
    ),
    _kind(
        "datasets",
        lambda config: DiskDataset(_path(config), config.text_field or DEFAULT_FIELD),
        options=("text_field",),
        needs_path="a folder that the library datasets has saved",
        recognises=is_disk_dataset,
    ),
    _kind(
        "text8", lambda config: Text8(_path(config)), needs_path="the file text8", download="text8"
    ),
    _kind(
        "enwik8", _enwik8, tokenizers=_BYTES_FIRST, needs_path="the file enwik8", download="enwik8"
    ),
    *(
        _kind(name, lambda config: WikiText(_path(config)), needs_path=_WIKITEXT, download=name)
        for name in ("wikitext-2", "wikitext-103")
    ),
)
CODECS: tuple[type[Codec], ...] = (CharacterCodec, ByteCodec, BytePairCodec, PretrainedCodec)
