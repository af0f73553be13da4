"""The labelled corpora and their codecs by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentwave.bench.data.audio.files import HIGHEST_RATE, LOWEST_RATE
from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.files import corpus_root
from latentwave.bench.data.tasks.codecs import ListOpsCodec, PairCodec, PcmCodec, PixelCodec
from latentwave.bench.data.tasks.images import cifar10, mnist, small_digits
from latentwave.bench.data.tasks.listops import ListOpsRules, drawn_listops, published_listops
from latentwave.bench.data.tasks.sounds import esc, fsd50k, spoken_digits
from latentwave.bench.data.tasks.texts import paper_pairs, reviews
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.errors import UserError

CODECS: tuple[type[Codec], ...] = (ListOpsCodec, PixelCodec, PairCodec, PcmCodec)
_LISTOPS = tuple(field.name for field in dataclasses.fields(ListOpsRules))
_PUBLISHED_RATES = {"fsd50k": 16_000, "esc": 16_000, "spoken-digits": 8_000}


def _listops(root: Path, config: CorpusConfig) -> Corpus:
    if config.path is not None:
        return published_listops(_inside(root, "listops-1000"))
    given: dict[str, Any] = config.given_options()
    return drawn_listops(ListOpsRules(**given))


def _inside(root: Path, folder: str) -> Path:
    """A folder of the Long Range Arena's release, or what was named instead of the release."""
    return root / folder if (root / folder).is_dir() else root


def _rate(config: CorpusConfig) -> int:
    rate = config.sample_rate
    if rate is not None and not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"sample_rate must be in [{LOWEST_RATE}, {HIGHEST_RATE}] Hz, got {rate}")
    return rate or _PUBLISHED_RATES[config.name]


def _kind(
    name: str,
    codec: type[Codec],
    read: Callable[[Path, CorpusConfig], Corpus],
    needs_path: str = "",
    *,
    options: tuple[str, ...] = ("path",),
    download: str | None = None,
) -> CorpusKind:
    return CorpusKind(
        name=name,
        tokenizers=(codec.kind,),
        open=lambda config: read(corpus_root(config), config),
        codec=lambda config, _: PcmCodec(_rate(config)) if codec is PcmCodec else codec(),
        options=options,
        needs_path=needs_path,
        download=download,
    )


KINDS = (
    _kind("listops", ListOpsCodec, _listops, options=("path", *_LISTOPS)),
    _kind(
        "imdb",
        ByteCodec,
        lambda root, config: reviews(root, config.validation, config.test),
        "the folder aclImdb, its archive, or a folder with train.tsv and test.tsv",
    ),
    _kind(
        "movie-reviews",
        ByteCodec,
        lambda root, config: reviews(root, config.validation, config.test),
        "movie_reviews.zip, or a folder with folders pos and neg",
    ),
    _kind(
        "mnist-pixels",
        PixelCodec,
        lambda root, config: mnist(root, config.validation, config.test),
        "the folder of the idx files",
    ),
    _kind(
        "cifar10-pixels",
        PixelCodec,
        lambda root, config: cifar10(root, config.validation),
        "the folder cifar-10-batches-bin, or its archive",
    ),
    _kind(
        "digits-pixels",
        PixelCodec,
        lambda _, config: small_digits(config.validation, config.test),
        options=(),
    ),
    _kind(
        "aan-pairs",
        PairCodec,
        lambda root, _: paper_pairs(_inside(root, "tsv_data")),
        "the folder of the .train.tsv, .eval.tsv and .test.tsv files",
        download="lra",
    ),
    _kind(
        "fsd50k",
        PcmCodec,
        lambda root, config: fsd50k(root, _rate(config)),
        "the folder of FSD50K.ground_truth",
        options=("path", "sample_rate"),
        download="fsd50k",
    ),
    _kind(
        "esc",
        PcmCodec,
        lambda root, config: esc(root, _rate(config), 5 if config.fold is None else config.fold),
        "the folder of ESC-50, or one with labels.csv",
        options=("path", "sample_rate", "fold"),
        download="esc-50",
    ),
    _kind(
        "spoken-digits",
        PcmCodec,
        lambda root, config: spoken_digits(root, _rate(config)),
        "the zip archive or folder of the recordings",
        options=("path", "sample_rate"),
    ),
)
