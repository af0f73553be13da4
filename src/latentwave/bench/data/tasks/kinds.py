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
from latentwave.bench.data.places import corpus_root
from latentwave.bench.data.tasks.codecs import ListOpsCodec, PairCodec, PcmCodec, PixelCodec
from latentwave.bench.data.tasks.images import cifar10, mnist, small_digits
from latentwave.bench.data.tasks.listops import ListOpsRules, drawn_listops, published_listops
from latentwave.bench.data.tasks.sounds import esc, fsd50k, spoken_digits
from latentwave.bench.data.tasks.texts import paper_pairs, reviews
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.errors import UserError

CODECS: tuple[type[Codec], ...] = (ListOpsCodec, PixelCodec, PairCodec, PcmCodec)


def _inside(config: CorpusConfig, folder: str) -> Path:
    """A folder of the Long Range Arena's release, or what was named instead of the release."""
    root = corpus_root(config)
    return root / folder if (root / folder).is_dir() else root


def _listops(config: CorpusConfig) -> Corpus:
    if config.path is None:
        given: dict[str, Any] = config.given_options()
        return drawn_listops(ListOpsRules(**given))
    return published_listops(_inside(config, "listops-1000"))


def _sample_rate(config: CorpusConfig, published: int) -> int:
    rate = config.sample_rate or published
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(
            f"sample_rate must be in [{LOWEST_RATE}, {HIGHEST_RATE}] Hz, got {config.sample_rate}"
        )
    return rate


def _kind(
    name: str,
    codec: type[Codec],
    read: Callable[[CorpusConfig], Corpus],
    needs_path: str = "",
    *,
    options: tuple[str, ...] = ("path",),
    download: str | None = None,
) -> CorpusKind:
    return CorpusKind(
        name=name,
        tokenizers=(codec.kind,),
        open=read,
        codec=lambda config, corpus: codec(),
        options=options,
        needs_path=needs_path,
        download=download,
    )


def _sounds(
    name: str,
    published_rate: int,
    read: Callable[[CorpusConfig, int], Corpus],
    needs_path: str,
    *,
    options: tuple[str, ...] = (),
    download: str | None = None,
) -> CorpusKind:
    def rate(config: CorpusConfig) -> int:
        return _sample_rate(config, published_rate)

    kind = _kind(
        name,
        PcmCodec,
        lambda config: read(config, rate(config)),
        needs_path,
        options=("path", "sample_rate", *options),
        download=download,
    )
    return dataclasses.replace(kind, codec=lambda config, corpus: PcmCodec(rate(config)))


KINDS = (
    _kind(
        "listops",
        ListOpsCodec,
        _listops,
        options=("path", *(field.name for field in dataclasses.fields(ListOpsRules))),
    ),
    _kind(
        "imdb",
        ByteCodec,
        lambda c: reviews(corpus_root(c), c.validation, c.test),
        "the folder aclImdb, its archive, or a folder with train.tsv and test.tsv",
    ),
    _kind(
        "movie-reviews",
        ByteCodec,
        lambda c: reviews(corpus_root(c), c.validation, c.test),
        "movie_reviews.zip, or a folder with folders pos and neg",
    ),
    _kind(
        "mnist-pixels",
        PixelCodec,
        lambda c: mnist(corpus_root(c), c.validation, c.test),
        "the folder of the idx files",
    ),
    _kind(
        "cifar10-pixels",
        PixelCodec,
        lambda c: cifar10(corpus_root(c), c.validation),
        "the folder cifar-10-batches-bin, or its archive",
    ),
    _kind("digits-pixels", PixelCodec, lambda c: small_digits(c.validation, c.test), options=()),
    _kind(
        "aan-pairs",
        PairCodec,
        lambda c: paper_pairs(_inside(c, "tsv_data")),
        "the folder of the .train.tsv, .eval.tsv and .test.tsv files",
        download="lra",
    ),
    _sounds(
        "fsd50k",
        16_000,
        lambda c, rate: fsd50k(corpus_root(c), rate),
        "the folder of FSD50K.ground_truth",
        download="fsd50k",
    ),
    _sounds(
        "esc",
        16_000,
        lambda c, rate: esc(corpus_root(c), rate, 5 if c.fold is None else c.fold),
        "the folder of ESC-50, or one with labels.csv",
        options=("fold",),
        download="esc-50",
    ),
    _sounds(
        "spoken-digits",
        8_000,
        lambda c, rate: spoken_digits(corpus_root(c), rate),
        "the zip archive or folder of the recordings",
    ),
)
