"""What the registry knows of recordings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from latentwave.bench.data.audio.codec import Linear8Bit, MuLaw
from latentwave.bench.data.audio.corpus import AudioFiles
from latentwave.bench.data.audio.files import HIGHEST_RATE, LOWEST_RATE, SUFFIXES
from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.groups import whole_splits
from latentwave.bench.data.media import find_files, is_mostly
from latentwave.bench.data.places import corpus_root
from latentwave.errors import UserError

SAMPLE_RATE = 16_000
CODECS: tuple[type[Codec], ...] = (MuLaw, Linear8Bit)
_CODECS = {codec.kind: codec for codec in (MuLaw, Linear8Bit)}


def youtubemix_splits(names: Mapping[str, object] | list[str]) -> dict[str, str]:
    """SaShiMi's split of YouTubeMix: its files in natural order, cut at 88 % and at 94 %.

    Example:
        >>> splits = list(youtubemix_splits([f"out{i:03}.wav" for i in range(241)]).values())
        >>> [splits.count(name) for name in ("train", "validation", "test")]
        [212, 14, 15]
    """
    ordered = sorted(names, key=_natural)
    first, second = int(0.88 * len(ordered)), int((0.88 + (1 - 0.88) / 2) * len(ordered))
    parts = [ordered[:first], ordered[first:second], ordered[second:]]
    return {
        name: split
        for split, part in zip(("train", "validation", "test"), parts, strict=True)
        for name in part
    }


def _natural(name: str) -> list[tuple[int, str]]:
    """Puts out2.wav before out10.wav."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _open(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    files = find_files(root, SUFFIXES, "audio files")
    splits = whole_splits(
        files, config.split_by or "tokens", validation=config.validation, test=config.test
    )
    return AudioFiles(root, files, _sample_rate(config), splits)


def _open_youtubemix(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    files = find_files(root, SUFFIXES, "audio files")
    splits = youtubemix_splits(files)
    if len(set(splits.values())) < 3:
        raise UserError(
            f"{root} holds {len(files)} audio files, too few for the splits of YouTubeMix, which "
            "has 241: name the folder that youtubemix.zip unpacks to"
        )
    ordered = {name: files[name] for name in splits}
    return AudioFiles(root, ordered, _sample_rate(config), splits)


def _sample_rate(config: CorpusConfig) -> int:
    return SAMPLE_RATE if config.sample_rate is None else config.sample_rate


def _check(config: CorpusConfig) -> None:
    if not LOWEST_RATE <= _sample_rate(config) <= HIGHEST_RATE:
        raise UserError(
            f"sample_rate must be in [{LOWEST_RATE}, {HIGHEST_RATE}] Hz, got {config.sample_rate}"
        )


def _codec(config: CorpusConfig, _: Corpus) -> Codec:
    return _CODECS[config.tokenizer_name](_sample_rate(config))


def _is_audio(path: Path) -> bool:
    return is_mostly(path, SUFFIXES)


KINDS = (
    CorpusKind(
        name="audio",
        tokenizers=tuple(_CODECS),
        open=_open,
        codec=_codec,
        options=("path", "sample_rate", "split_by"),
        needs_path="an audio file, or a folder or archive of them",
        check=_check,
        recognises=_is_audio,
    ),
    CorpusKind(
        name="youtubemix",
        tokenizers=tuple(_CODECS),
        open=_open_youtubemix,
        codec=_codec,
        options=("path", "sample_rate"),
        needs_path="youtubemix.zip, or the folder that it unpacks to",
        download="youtubemix",
        check=_check,
    ),
)
