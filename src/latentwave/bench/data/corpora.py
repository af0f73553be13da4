"""The table of corpora and the table of codecs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from latentwave.bench.data import audio, music
from latentwave.bench.data.audio.files import SUFFIXES as AUDIO_SUFFIXES
from latentwave.bench.data.audio.files import AudioFiles
from latentwave.bench.data.codec import Codec
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
from latentwave.bench.data.music.corpus import MidiFiles, asap_files, maestro_files
from latentwave.bench.data.splits import CharacterShares, choose_splits
from latentwave.bench.data.tasks import codecs, listops, published
from latentwave.bench.data.tasks.codecs import ListOpsCodec, PcmCodec, PixelCodec
from latentwave.bench.data.text import tables
from latentwave.bench.data.text.characters import ByteCodec, CharacterCodec, CodePoints
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
    codec.kind: codec for codec in (*_TEXT_CODECS, *audio.CODECS, *music.CODECS, *codecs.CODECS)
}
DEFAULT_VOCAB_SIZE = 4096


def _encoder(config: CorpusConfig, corpus: Corpus) -> Codec:
    codec = CODECS[config.tokenizer_name]
    if codec is CharacterCodec:
        return CodePoints()
    if codec is BytePairCodec:
        return BytePairCodec.train(corpus, config.vocab_size or DEFAULT_VOCAB_SIZE)
    if codec is PretrainedCodec:
        return PretrainedCodec.open(Path(config.tokenizer_path or "").expanduser())
    options: dict[str, Any] = {"sample_rate": config.rate} if codec.extra == "audio" else {}
    return codec(**options)


def _kind(
    name: str,
    tokenizers: Collection[type[Codec]],
    open_: Callable[[CorpusConfig], Corpus],
    needs_path: str = "",
    options: str = "",
    **others: Any,
) -> CorpusKind:
    return CorpusKind(
        name=name,
        tokenizers=tuple(codec.kind for codec in tokenizers),
        open=open_,
        codec=_encoder,
        options=tuple(f"path {options}".split() if needs_path else options.split()),
        needs_path=needs_path,
        **others,
    )


def _text_kind(
    name: str,
    open_: Callable[[CorpusConfig], Corpus],
    needs_path: str = "",
    options: str = "",
    tokenizers: Collection[type[Codec]] = _TEXT_CODECS,
    **others: Any,
) -> CorpusKind:
    def opened(config: CorpusConfig) -> Corpus:
        if config.tokenizer_name in ("bpe", "pretrained"):
            return CharacterShares(open_(config), config.validation, config.test)
        return open_(config)

    options += " vocab_size tokenizer_path"
    return _kind(name, tokenizers, opened, needs_path, options, **others)


_Reader = Callable[[Path, CorpusConfig], Corpus]


def _labelled_kind(
    name: str, codec: type[Codec], read: _Reader, *needs: str, **others: Any
) -> CorpusKind:
    return _kind(name, (codec,), lambda config: read(corpus_root(config), config), *needs, **others)


def _text(config: CorpusConfig) -> Corpus:
    return TextFiles(find_corpus(config))


def _table(config: CorpusConfig) -> Corpus:
    if config.name == "datasets":
        found = tables.find_saved_dataset(corpus_root(config))
    else:
        found = find_corpus(config, f"{config.name} files")
    return tables.TextTables(found, config.name, config.text_field or "text")


def _wikitext(config: CorpusConfig) -> Corpus:
    found = find_corpus(config)
    if found.root.is_dir() and (found.splits is None or len(found.files) != 3):
        raise UserError(
            f"{found.root} must hold one file for each split, called as in wiki.train.raw, "
            f"wiki.valid.raw, wiki.test.raw; got {', '.join(list(found.files)[:4])}"
        )
    return TextFiles(found, articles=True)


def _audio(config: CorpusConfig) -> Corpus:
    return AudioFiles(find_corpus(config, "audio files"), config.rate)


def _youtubemix(config: CorpusConfig) -> Corpus:
    """SaShiMi's split of YouTubeMix: its files in natural order, cut at 88 % and at 94 %."""
    found = find_files(corpus_root(config), AUDIO_SUFFIXES, "audio files")
    # out2.wav before out10.wav
    names = sorted(found.files, key=lambda name: [*map(_number, re.split(r"(\d+)", name))])
    first, second = int(0.88 * len(names)), int((0.88 + (1 - 0.88) / 2) * len(names))
    found.splits = dict.fromkeys(names[:first], "train")
    found.splits |= dict.fromkeys(names[first:second], "validation")
    found.splits |= dict.fromkeys(names[second:], "test")
    found.files = {name: found.files[name] for name in names}
    if len(set(found.splits.values())) < 3:
        raise UserError(
            f"{found.root} holds {len(found.files)} audio files, too few for the splits of "
            "YouTubeMix, which has 241: name the folder that youtubemix.zip unpacks to"
        )
    return AudioFiles(found, config.rate)


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def _music(config: CorpusConfig) -> Corpus:
    found = maestro_files(corpus_root(config))
    if found is None and config.name == "maestro":
        raise UserError(
            f"{corpus_root(config)} holds no table maestro-v*.csv: name the folder that "
            'maestro-v3.0.0-midi.zip unpacks to, or take the corpus "music"'
        )
    found = found or find_corpus(config, "MIDI files", split_by="file")
    return MidiFiles(found, config.tokenizer_name)


def _asap(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    files = asap_files(root)
    splits = choose_splits(files, "folder", validation=config.validation, test=config.test)
    return MidiFiles(Found(root=root, files=files, splits=splits), config.tokenizer_name)


def _listops(_: Path, config: CorpusConfig) -> Corpus:
    given: dict[str, Any] = config.given_options()
    return listops.drawn_listops(listops.ListOpsRules(**given))


_FOLDER = "or a folder or archive of them"
_MAESTRO_ZIP = "maestro-v3.0.0-midi.zip, or the folder that it unpacks to"
_WIKITEXT = "the folder with a file for each split"
_RULES = " ".join(field.name for field in dataclasses.fields(listops.ListOpsRules))
_BYTES_FIRST = (ByteCodec, CharacterCodec, BytePairCodec, PretrainedCodec)


_KINDS = (
    _text_kind("python-docs", lambda _: PythonLibrary("docs")),
    _text_kind("python-code", lambda _: PythonLibrary("code")),
    _text_kind("text", _text, f"a text file, {_FOLDER}", "pattern split_by"),
    *(
        _text_kind(name, _table, f"{what}, {_FOLDER}", "text_field split_by", suffixes=suffixes)
        for name, what, suffixes in (
            ("jsonl", "a file of JSON lines", (".jsonl", ".ndjson")),
            ("csv", "a CSV file", (".csv", ".tsv")),
            ("parquet", "a Parquet file", (".parquet",)),
        )
    ),
    _text_kind("datasets", _table, "a folder that the library datasets has saved", "text_field"),
    _text_kind("text8", _text, "the file text8", download="text8"),
    _text_kind("enwik8", _text, "the file enwik8", "", _BYTES_FIRST, download="enwik8"),
    _text_kind("wikitext-2", _wikitext, _WIKITEXT, download="wikitext-2"),
    _text_kind("wikitext-103", _wikitext, _WIKITEXT, download="wikitext-103"),
    _kind(
        "audio",
        audio.CODECS,
        _audio,
        f"an audio file, {_FOLDER}",
        "sample_rate split_by",
        suffixes=AUDIO_SUFFIXES,
    ),
    _kind(
        "youtubemix",
        audio.CODECS,
        _youtubemix,
        "youtubemix.zip, or the folder that it unpacks to",
        "sample_rate",
        download="youtubemix",
    ),
    _kind(
        "music",
        music.CODECS,
        _music,
        f"a MIDI file, {_FOLDER}",
        "split_by",
        suffixes=MIDI_SUFFIXES,
    ),
    _kind("maestro", music.CODECS, _music, _MAESTRO_ZIP, download="maestro"),
    _kind("asap", music.CODECS, _asap, "the ASAP dataset, its folder or an archive"),
    _labelled_kind("listops", ListOpsCodec, _listops, "", _RULES),
    _labelled_kind("imdb", ByteCodec, published.reviews, "the folder aclImdb, or its archive"),
    _labelled_kind(
        "movie-reviews",
        ByteCodec,
        published.reviews,
        "movie_reviews.zip, or a folder with folders pos and neg",
    ),
    _labelled_kind("mnist-pixels", PixelCodec, published.mnist, "the folder of the idx files"),
    _labelled_kind(
        "cifar10-pixels",
        PixelCodec,
        published.cifar10,
        "the folder cifar-10-batches-bin, or its archive",
    ),
    _labelled_kind("digits-pixels", PixelCodec, published.small_digits),
    _labelled_kind(
        "fsd50k",
        PcmCodec,
        published.fsd50k,
        "the folder of FSD50K.ground_truth",
        "sample_rate",
        download="fsd50k",
    ),
    _labelled_kind(
        "esc",
        PcmCodec,
        published.esc,
        "the folder of ESC-50, or one with labels.csv",
        "sample_rate fold",
        download="esc-50",
    ),
    _labelled_kind(
        "spoken-digits",
        PcmCodec,
        published.spoken_digits,
        "the zip archive or folder of the recordings",
        "sample_rate",
        sample_rate=8_000,
    ),
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
class _SavedCodec:
    """The kind of a codec, and what `Codec.save` of that kind returned."""

    kind: str
    sample_rate: int | None = None
    miditok: str | None = None
    vocabulary: list[str] | None = None


def save_codec(codec: Codec, folder: Path) -> None:
    """Write a codec's files, and which kind it is."""
    text = json.dumps({"kind": codec.kind} | codec.save(folder))
    (folder / CODEC_FILE).write_text(text + "\n", encoding="utf-8")


def load_codec(folder: Path) -> Codec:
    """Read what `save_codec` wrote into the folder of a store or of a model; else a UserError."""
    path = folder / CODEC_FILE
    remedy = "it says what tokens are; prepare, or train, again"
    settings = dataclasses.asdict(read_json(path, remedy, _SavedCodec))
    kind = settings.pop("kind")
    if kind not in CODECS:
        raise UserError(f"{path} names an unknown codec {kind!r}; known are: {', '.join(CODECS)}")
    try:
        given = {name: value for name, value in settings.items() if value is not None}
        return CODECS[kind].load(folder, **given)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the {kind!r} codec in {folder} is damaged: {error}") from error
