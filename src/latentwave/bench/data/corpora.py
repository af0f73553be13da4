"""The tables of all corpora and codecs, and where a codec is saved."""

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentwave.bench.data import audio, music
from latentwave.bench.data.audio.files import SUFFIXES as AUDIO_SUFFIXES
from latentwave.bench.data.audio.files import read_recording
from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CORPORA, CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import SPLITS, Corpus, FileCorpus, Found
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
from latentwave.bench.data.splits import choose_splits
from latentwave.bench.data.tasks import codecs, listops, published
from latentwave.bench.data.text.characters import ByteCodec, CharacterCodec, CodePoints
from latentwave.bench.data.text.files import read_articles, read_text
from latentwave.bench.data.text.python_library import PythonLibrary
from latentwave.bench.data.text.subwords import BytePairCodec, PretrainedCodec
from latentwave.bench.data.text.tables import read_texts
from latentwave.errors import UserError

CODEC_FILE = "codec.json"
_TEXT_CODECS: tuple[type[Codec], ...] = (CharacterCodec, ByteCodec, BytePairCodec, PretrainedCodec)
CODECS: dict[str, type[Codec]] = {
    codec.kind: codec for codec in (*_TEXT_CODECS, *audio.CODECS, *music.CODECS, *codecs.CODECS)
}
DEFAULT_VOCAB_SIZE = 4096


def make_encoder(config: CorpusConfig) -> Codec:
    """The codec of a corpus; for text, the draft that makes it once all texts have been read."""
    codec = CODECS[config.tokenizer_name]
    if codec is CharacterCodec:
        return CodePoints(CharacterCodec.of)
    if codec is BytePairCodec:
        vocab_size = config.vocab_size or DEFAULT_VOCAB_SIZE
        return CodePoints(lambda draft: BytePairCodec.train(draft, vocab_size))
    if codec is PretrainedCodec:
        opened = PretrainedCodec.open(Path(config.tokenizer_path or "").expanduser())
        return CodePoints(lambda _: opened)
    options: dict[str, Any] = {"sample_rate": config.rate} if codec.is_sound else {}
    return codec(**options)


def _text(config: CorpusConfig) -> Corpus:
    return FileCorpus(find_corpus(config), read_text)


def _table(config: CorpusConfig) -> Corpus:
    read = functools.partial(read_texts, config.name, config.text_field or "text")
    return FileCorpus(find_corpus(config, f"{config.name} files"), read, one_per_piece=True)


def _wikitext(config: CorpusConfig) -> Corpus:
    found = find_corpus(config)
    if found.root.is_dir() and (found.splits is None or len(found.files) != 3):
        raise UserError(
            f"{found.root} must hold one file for each split, named like wiki.train.raw, "
            f"wiki.valid.raw and wiki.test.raw; got {', '.join(list(found.files)[:4])}"
        )
    return FileCorpus(found, read_articles, one_per_piece=True)


def _audio(config: CorpusConfig, found: Found | None = None) -> Corpus:
    found = found or find_corpus(config, "audio files")
    return FileCorpus(found, functools.partial(read_recording, config.rate))


def _youtubemix(config: CorpusConfig) -> Corpus:
    """SaShiMi's split of YouTubeMix: its files in natural order, cut at 88 % and at 94 %."""
    found = find_files(corpus_root(config), AUDIO_SUFFIXES, "audio files")

    def natural(name: str) -> list[int | str]:  # out2.wav before out10.wav
        return [int(part) if n % 2 else part for n, part in enumerate(re.split(r"(\d+)", name))]

    names = sorted(found.files, key=natural)
    edges = [0, int(0.88 * len(names)), int((0.88 + (1 - 0.88) / 2) * len(names)), len(names)]
    cuts = zip(SPLITS, itertools.pairwise(edges), strict=True)
    found.splits = {name: split for split, cut in cuts for name in names[slice(*cut)]}
    found.files = {name: found.files[name] for name in names}
    if len(set(found.splits.values())) < 3:
        raise UserError(
            f"{found.root} holds {len(found.files)} audio files, too few for the splits of "
            "YouTubeMix, which has 241: name the folder that youtubemix.zip unpacks to"
        )
    return _audio(config, found)


def _music(config: CorpusConfig) -> Corpus:
    found = None if config.split_by else maestro_files(corpus_root(config))
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


def _listops(config: CorpusConfig) -> Corpus:
    given: dict[str, Any] = config.given_options()
    return listops.drawn_listops(listops.ListOpsRules(**given))


def _add(
    name: str,
    tokenizers: tuple[str, ...],
    read: Callable[[CorpusConfig], Corpus],
    needs_path: str = "",
    options: str = "",
    **others: Any,
) -> None:
    """Add a kind of corpus; `options` need not list those of its path and its tokenizers."""
    given = options.split()
    given += ["path"] if needs_path else []
    given += ["vocab_size", "tokenizer_path"] if "bpe" in tokenizers else []
    given += ["sample_rate"] if CODECS[tokenizers[0]].is_sound else []
    others |= {"options": tuple(given), "needs_path": needs_path}
    CORPORA[name] = CorpusKind(name=name, tokenizers=tokenizers, read=read, **others)


_TEXT = tuple(codec.kind for codec in _TEXT_CODECS)
_BYTES_FIRST = ("bytes", "characters", "bpe", "pretrained")
_SOUND = tuple(codec.kind for codec in audio.CODECS)
_MUSIC = tuple(codec.kind for codec in music.CODECS)
_FOLDER = "or a folder or archive of them"
_WIKITEXT = "the folder with a file for each split"
_RULES = " ".join(field.name for field in dataclasses.fields(listops.ListOpsRules))

_add("python-docs", _TEXT, lambda _: PythonLibrary("docs"))
_add("python-code", _TEXT, lambda _: PythonLibrary("code"))
_add("text", _TEXT, _text, f"a text file, {_FOLDER}", "pattern split_by")
for _name, _file, _suffixes in (
    ("jsonl", "a file of JSON lines", (".jsonl", ".ndjson")),
    ("csv", "a CSV file", (".csv", ".tsv")),
    ("parquet", "a Parquet file", (".parquet",)),
    ("datasets", "a folder that the library datasets has saved", (".arrow",)),
):
    _options = "text_field split_by"
    _add(_name, _TEXT, _table, f"{_file}, {_FOLDER}", _options, suffixes=_suffixes)
_add("text8", _TEXT, _text, "the file text8", download="text8")
_add("enwik8", _BYTES_FIRST, _text, "the file enwik8", download="enwik8")
_add("wikitext-2", _TEXT, _wikitext, _WIKITEXT, download="wikitext-2")
_add("wikitext-103", _TEXT, _wikitext, _WIKITEXT, download="wikitext-103")
_add("audio", _SOUND, _audio, f"an audio file, {_FOLDER}", "split_by", suffixes=AUDIO_SUFFIXES)
_MIX = "youtubemix.zip, or its folder"
_add("youtubemix", _SOUND, _youtubemix, _MIX, download="youtubemix", shares=())
_add("music", _MUSIC, _music, f"a MIDI file, {_FOLDER}", "split_by", suffixes=MIDI_SUFFIXES)
_MAESTRO = "maestro-v3.0.0-midi.zip, or its folder"
_add("maestro", _MUSIC, _music, _MAESTRO, download="maestro", shares=())
_add("asap", _MUSIC, _asap, "the ASAP dataset, its folder or an archive")
_add("listops", ("listops",), _listops, options=_RULES, shares=())
_IMDB = "the folder aclImdb or its archive, or a folder of train.tsv and test.tsv"
_add("imdb", ("bytes",), published.imdb, _IMDB, shares=("validation",))
_REVIEWS = "movie_reviews.zip, or a folder with folders pos and neg"
_add("movie-reviews", ("bytes",), published.reviews, _REVIEWS)
_add("mnist-pixels", ("pixels",), published.mnist, "the folder of the idx files")
_CIFAR10 = "the folder cifar-10-batches-bin, or its archive"
_add("cifar10-pixels", ("pixels",), published.cifar10, _CIFAR10, shares=("validation",))
_add("digits-pixels", ("pixels",), published.small_digits)
_FSD50K = "the folder of FSD50K.ground_truth"
_add("fsd50k", ("samples",), published.fsd50k, _FSD50K, download="fsd50k", shares=())
_ESC = "the folder of ESC-50, or one with labels.csv"
_add("esc", ("samples",), published.esc, _ESC, "fold", download="esc-50", shares=())
_DIGITS = "the zip archive or folder of the recordings"
_SPOKEN = published.spoken_digits
_add("spoken-digits", ("samples",), _SPOKEN, _DIGITS, sample_rate=8_000, shares=())


def guess_corpus(path: Path) -> str:
    """Guess which corpus of `CORPORA` a file or folder is; "text" if in doubt."""
    names = names_within(path)
    # In reverse: sound and music come before the tables that may lie beside them.
    for kind in reversed(CORPORA.values()):
        num_fitting = sum(unpacked_suffix(name) in kind.suffixes for name in names)
        if num_fitting and 2 * num_fitting >= len(names) and kind.download is None:
            return kind.name
    return "text"


def save_codec(codec: Codec, folder: Path) -> None:
    """Write a codec's kind, settings and files."""
    text = json.dumps({"kind": codec.kind} | codec.save(folder))
    (folder / CODEC_FILE).write_text(text + "\n", encoding="utf-8")


def load_codec(folder: Path) -> Codec:
    """Load a codec from the folder of a store or a model; a UserError if it is damaged."""
    path = folder / CODEC_FILE
    settings = read_json(path, "it says what tokens mean; prepare, or train, again")
    kind = str(settings.pop("kind", None))
    if kind not in CODECS:
        raise UserError(f"{path} names an unknown codec {kind!r}; known are: {', '.join(CODECS)}")
    try:
        return CODECS[kind].load(folder, **settings)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the {kind!r} codec in {folder} is damaged: {error}") from error
