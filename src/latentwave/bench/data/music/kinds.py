"""What the registry knows of music."""

from __future__ import annotations

from pathlib import Path

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.groups import whole_splits
from latentwave.bench.data.media import find_files, is_mostly
from latentwave.bench.data.music.codec import CODECS
from latentwave.bench.data.music.corpus import (
    SUFFIXES,
    MidiFiles,
    maestro_table,
    read_asap,
    read_maestro,
)
from latentwave.bench.data.places import corpus_root
from latentwave.errors import UserError

_CODECS = {codec.kind: codec for codec in CODECS}


def _open(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    if maestro_table(root) is not None:
        return _open_maestro(config)
    files = find_files(root, SUFFIXES, "MIDI files")
    by = config.split_by or ("file" if len(files) > 1 else "tokens")
    splits = whole_splits(files, by, validation=config.validation, test=config.test)
    return MidiFiles(root, files, config.tokenizer_name, splits)


def _open_maestro(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    table = maestro_table(root)
    if table is None:
        raise UserError(
            f"{root} holds no table maestro-v*.csv: name the folder that maestro-v3.0.0-midi.zip "
            'unpacks to, or take the corpus "music"'
        )
    files, splits = read_maestro(table)
    return MidiFiles(root, files, config.tokenizer_name, splits)


def _open_asap(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    table = root / "metadata.csv"
    if not table.is_file():
        raise UserError(
            f"{root} holds no metadata.csv: name the folder of the ASAP dataset, or take the "
            'corpus "music" with split_by "folder"'
        )
    files = read_asap(table)
    splits = whole_splits(files, "folder", validation=config.validation, test=config.test)
    return MidiFiles(root, files, config.tokenizer_name, splits)


def _codec(config: CorpusConfig, _: Corpus) -> Codec:
    return _CODECS[config.tokenizer_name]()


def _is_midi(path: Path) -> bool:
    return is_mostly(path, SUFFIXES)


KINDS = (
    CorpusKind(
        name="music",
        tokenizers=tuple(_CODECS),
        open=_open,
        codec=_codec,
        options=("path", "split_by"),
        needs_path="a MIDI file, or a folder or archive of them",
        recognises=_is_midi,
    ),
    CorpusKind(
        name="maestro",
        tokenizers=tuple(_CODECS),
        open=_open_maestro,
        codec=_codec,
        options=("path",),
        needs_path="maestro-v3.0.0-midi.zip, or the folder that it unpacks to",
        download="maestro",
    ),
    CorpusKind(
        name="asap",
        tokenizers=tuple(_CODECS),
        open=_open_asap,
        codec=_codec,
        options=("path",),
        needs_path="the ASAP dataset, its folder or an archive",
    ),
)
