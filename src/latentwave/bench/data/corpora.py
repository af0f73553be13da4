"""The table of corpora and the table of codecs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path

from latentwave.bench.data import audio, music, tasks
from latentwave.bench.data.audio.files import HIGHEST_RATE, LOWEST_RATE, SUFFIXES, AudioFiles
from latentwave.bench.data.codec import Codec, Encoder
from latentwave.bench.data.config import CORPORA, CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus, Found
from latentwave.bench.data.files import (
    corpus_root,
    find_corpus,
    find_files,
    names_within,
    unpacked_suffix,
)
from latentwave.bench.data.json_files import read_json
from latentwave.bench.data.music.corpus import SUFFIXES as MIDI_SUFFIXES
from latentwave.bench.data.music.corpus import MidiFiles, asap_files, use_table
from latentwave.bench.data.splits import CharacterShares, choose_splits, cut_in_order
from latentwave.bench.data.text import tables
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.bench.data.text.characters import CharacterCodec, CodePoints
from latentwave.bench.data.text.files import TextFiles
from latentwave.bench.data.text.python_library import PythonLibrary
from latentwave.bench.data.text.subwords import BytePairCodec, PretrainedCodec
from latentwave.errors import UserError

CODEC_FILE = "codec.json"
_TEXT_CODECS: tuple[type[Codec], ...] = (
    CharacterCodec,
    ByteCodec,
    BytePairCodec,
    PretrainedCodec,
)
CODECS: dict[str, type[Codec]] = {
    codec.kind: codec for codec in (*_TEXT_CODECS, *audio.CODECS, *music.CODECS, *tasks.CODECS)
}
TEXT_TOKENIZERS = ("characters", "bytes", "bpe", "pretrained")
_BYTES_FIRST = ("bytes", "characters", "bpe", "pretrained")
DEFAULT_VOCAB_SIZE = 4096
MOST_VOCAB_SIZE = 1 << 20
DEFAULT_SAMPLE_RATE = 16_000


def _text_codec(config: CorpusConfig, corpus: Corpus) -> Encoder:
    match config.tokenizer_name:
        case "characters":
            return CodePoints()
        case "bytes":
            return ByteCodec()
        case "bpe":
            return BytePairCodec.train(corpus, config.vocab_size or DEFAULT_VOCAB_SIZE)
        case _:
            return PretrainedCodec.open(Path(config.tokenizer_path or "").expanduser())


def _check_text(config: CorpusConfig) -> None:
    if config.vocab_size is not None:
        if config.tokenizer_name != "bpe":
            raise UserError(
                f"vocab_size={config.vocab_size} is for the tokenizer 'bpe', not for "
                f"{config.tokenizer_name!r}"
            )
        if not 256 <= config.vocab_size <= MOST_VOCAB_SIZE:
            raise UserError(
                f"vocab_size must be in [256, {MOST_VOCAB_SIZE}], 256 being all bytes, got "
                f"{config.vocab_size}"
            )
    if (config.tokenizer_name == "pretrained") != (config.tokenizer_path is not None):
        raise UserError(
            "the tokenizer 'pretrained' and the option tokenizer_path, a tokenizer.json, go "
            f"together; got {config.tokenizer_name!r} and {config.tokenizer_path!r}"
        )


def _text_kind(
    name: str,
    open_: Callable[[CorpusConfig], Corpus],
    *,
    tokenizers: tuple[str, ...] = TEXT_TOKENIZERS,
    options: tuple[str, ...] = (),
    needs_path: str = "",
    download: str | None = None,
    suffixes: Collection[str] = (),
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
        codec=_text_codec,
        options=(*(("path",) if needs_path else ()), *options, "vocab_size", "tokenizer_path"),
        needs_path=needs_path,
        download=download,
        check=_check_text,
        suffixes=suffixes,
    )


def _table_kind(kind: str, needs_path: str) -> CorpusKind:
    def open_(config: CorpusConfig) -> Corpus:
        found = find_corpus(config, f"{kind} files")
        return tables.TextTables(found, kind, config.text_field or tables.DEFAULT_FIELD)

    return _text_kind(
        kind,
        open_,
        options=("text_field", "split_by"),
        needs_path=needs_path,
        suffixes=tables.SUFFIXES[kind],
    )


def _saved_dataset(config: CorpusConfig) -> Corpus:
    found = tables.find_saved_dataset(corpus_root(config))
    return tables.TextTables(found, "datasets", config.text_field or tables.DEFAULT_FIELD)


def _text(config: CorpusConfig) -> Corpus:
    return TextFiles(find_corpus(config))


def _wikitext(config: CorpusConfig) -> Corpus:
    found = find_corpus(config)
    if found.root.is_dir() and (found.splits is None or len(found.files) != 3):
        raise UserError(
            f"{found.root} must hold one file for each split, called as in wiki.train.raw, "
            f"wiki.valid.raw, wiki.test.raw; got {', '.join(list(found.files)[:4])}"
        )
    return TextFiles(found, articles=True)


def _sample_rate(config: CorpusConfig) -> int:
    return DEFAULT_SAMPLE_RATE if config.sample_rate is None else config.sample_rate


def _check_sound(config: CorpusConfig) -> None:
    if not LOWEST_RATE <= _sample_rate(config) <= HIGHEST_RATE:
        raise UserError(
            f"sample_rate must be in [{LOWEST_RATE}, {HIGHEST_RATE}] Hz, got {config.sample_rate}"
        )


def _audio(config: CorpusConfig) -> Corpus:
    return AudioFiles(find_corpus(config, "audio files"), _sample_rate(config))


def _youtubemix(config: CorpusConfig) -> Corpus:
    """SaShiMi's split of YouTubeMix: its files in natural order, cut at 88 % and at 94 %."""
    found = find_files(corpus_root(config), SUFFIXES, "audio files")
    found.splits = cut_in_order(sorted(found.files, key=_natural), 0.88, 0.88 + (1 - 0.88) / 2)
    found.files = {name: found.files[name] for name in found.splits}
    if len(set(found.splits.values())) < 3:
        raise UserError(
            f"{found.root} holds {len(found.files)} audio files, too few for the splits of "
            "YouTubeMix, which has 241: name the folder that youtubemix.zip unpacks to"
        )
    return AudioFiles(found, _sample_rate(config))


def _natural(name: str) -> list[tuple[int, str]]:
    """Puts out2.wav before out10.wav."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _audio_kind(
    name: str, open_: Callable[[CorpusConfig], Corpus], needs_path: str, *options: str
) -> CorpusKind:
    return CorpusKind(
        name=name,
        tokenizers=tuple(_AUDIO_CODECS),
        open=open_,
        codec=lambda config, _: _AUDIO_CODECS[config.tokenizer_name](_sample_rate(config)),
        options=("path", "sample_rate", *options),
        needs_path=needs_path,
        download=None if options else name,
        check=_check_sound,
        suffixes=SUFFIXES,
    )


def _music(config: CorpusConfig) -> Corpus:
    found = Found(root=corpus_root(config), files={})
    if not use_table(found):
        found = find_corpus(config, "MIDI files", split_by="file")
    return MidiFiles(found, config.tokenizer_name)


def _maestro(config: CorpusConfig) -> Corpus:
    found = Found(root=corpus_root(config), files={})
    if not use_table(found):
        raise UserError(
            f"{found.root} holds no table maestro-v*.csv: name the folder that "
            'maestro-v3.0.0-midi.zip unpacks to, or take the corpus "music"'
        )
    return MidiFiles(found, config.tokenizer_name)


def _asap(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    files = asap_files(root)
    splits = choose_splits(files, "folder", validation=config.validation, test=config.test)
    return MidiFiles(Found(root=root, files=files, splits=splits), config.tokenizer_name)


_AUDIO_CODECS = {codec.kind: codec for codec in audio.CODECS}
_MUSIC_CODECS = {codec.kind: codec for codec in music.CODECS}
_MUSIC = CorpusKind(
    name="music",
    tokenizers=tuple(_MUSIC_CODECS),
    open=_music,
    codec=lambda config, _: _MUSIC_CODECS[config.tokenizer_name](),
    options=("path", "split_by"),
    needs_path="a MIDI file, or a folder or archive of them",
    suffixes=MIDI_SUFFIXES,
)

_KINDS = (
    _text_kind("python-docs", lambda _: PythonLibrary("docs")),
    _text_kind("python-code", lambda _: PythonLibrary("code")),
    _text_kind(
        "text",
        _text,
        options=("pattern", "split_by"),
        needs_path="a text file, or a folder or archive of them",
    ),
    _table_kind("jsonl", "a file of JSON lines, or a folder or archive of them"),
    _table_kind("csv", "a CSV file, or a folder or archive of them"),
    _table_kind("parquet", "a Parquet file, or a folder or archive of them"),
    _text_kind(
        "datasets",
        _saved_dataset,
        options=("text_field",),
        needs_path="a folder that the library datasets has saved",
    ),
    _text_kind(
        "text8",
        _text,
        needs_path="the file text8",
        download="text8",
    ),
    _text_kind(
        "enwik8", _text, tokenizers=_BYTES_FIRST, needs_path="the file enwik8", download="enwik8"
    ),
    *(
        _text_kind(
            name, _wikitext, needs_path="the folder with a file for each split", download=name
        )
        for name in ("wikitext-2", "wikitext-103")
    ),
    _audio_kind("audio", _audio, "an audio file, or a folder or archive of them", "split_by"),
    _audio_kind("youtubemix", _youtubemix, "youtubemix.zip, or the folder that it unpacks to"),
    _MUSIC,
    dataclasses.replace(
        _MUSIC,
        name="maestro",
        open=_maestro,
        options=("path",),
        needs_path="maestro-v3.0.0-midi.zip, or the folder that it unpacks to",
        download="maestro",
    ),
    dataclasses.replace(
        _MUSIC,
        name="asap",
        open=_asap,
        options=("path",),
        needs_path="the ASAP dataset, its folder or an archive",
        suffixes=(),
    ),
    *tasks.KINDS,
)
CORPORA.update({kind.name: kind for kind in _KINDS})


def guess_corpus(path: Path) -> str:
    """The kind of corpus that a file or folder is: its name in `CORPORA`, "text" if in doubt."""
    if tables.is_saved_dataset(path):
        return "datasets"
    names = names_within(path)
    # Sound and music before the tables that may lie beside them.
    for kind in reversed(CORPORA.values()):
        num_fitting = sum(unpacked_suffix(name) in kind.suffixes for name in names)
        if num_fitting and 2 * num_fitting >= len(names) and kind.download is None:
            return kind.name
    return "text"


@dataclasses.dataclass(frozen=True)
class _Kind:
    kind: str


def save_codec(codec: Codec, folder: Path) -> None:
    """Write a codec's files, and which kind it is."""
    codec.save(folder)
    text = json.dumps(dataclasses.asdict(_Kind(codec.kind)))
    (folder / CODEC_FILE).write_text(text + "\n", encoding="utf-8")


def load_codec(folder: Path) -> Codec:
    """Read what `save_codec` wrote into the folder of a store or of a model.

    Raises:
        UserError: if it is missing, damaged, or of an unknown kind.
    """
    path = folder / CODEC_FILE
    known: _Kind = read_json(path, "it says what tokens are; prepare, or train, again", _Kind)
    kind = known.kind
    if kind not in CODECS:
        raise UserError(f"{path} names an unknown codec {kind!r}; known are: {', '.join(CODECS)}")
    try:
        return CODECS[kind].load(folder)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the {kind!r} codec in {folder} is damaged: {error}") from error
