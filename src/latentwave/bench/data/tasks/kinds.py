"""The labelled corpora and their codecs by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CorpusConfig, CorpusKind
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.files import corpus_root
from latentwave.bench.data.tasks.clips import LabelledClips
from latentwave.bench.data.tasks.codecs import ListOpsCodec, PairCodec, PixelCodec, SampleCodec
from latentwave.bench.data.tasks.listops import ListOps, ListOpsFiles, ListOpsRules
from latentwave.bench.data.tasks.pixels import cifar10_pixels, mnist_pixels, small_digits_pixels
from latentwave.bench.data.tasks.retrieval import BookPairs, PairTables, PassageRules
from latentwave.bench.data.tasks.reviews import ReviewFolders, ReviewTables
from latentwave.bench.data.tasks.sound_tables import esc, fsd50k, spoken_digits
from latentwave.bench.data.text.bytes import ByteCodec

_Rules = TypeVar("_Rules")
_COUNTS = ("num_train", "num_validation", "num_test")
_LISTOPS = (*_COUNTS, "min_length", "max_length", "max_depth", "max_arguments", "seed")


def _path(config: CorpusConfig) -> Path:
    return Path(config.path or "").expanduser()


def _pairs(config: CorpusConfig) -> Corpus:
    root = corpus_root(config)
    inner = root / "tsv_data"  # as the Long Range Arena's release has it
    return PairTables(inner if inner.is_dir() else root)


def _listops_folder(config: CorpusConfig) -> Path:
    root = corpus_root(config)
    inner = root / "listops-1000"
    return inner if inner.is_dir() else root


def _rules(cls: Callable[..., _Rules], config: CorpusConfig, names: tuple[str, ...]) -> _Rules:
    """Rules with the options that are given; the others keep their published values."""
    given = config.given_options()
    return cls(**{name: given[name] for name in names if name in given})


def _listops(config: CorpusConfig) -> Corpus:
    if config.path is not None:
        return ListOpsFiles(_listops_folder(config))
    return ListOps(_rules(ListOpsRules, config, _LISTOPS))


def _imdb(config: CorpusConfig) -> Corpus:
    path = _path(config)
    if any((path / f"train.tsv{packed}").is_file() for packed in ("", ".gz")):
        return ReviewTables(path, config.validation)
    return ReviewFolders(path, config.validation, config.test)


def _movie_reviews(config: CorpusConfig) -> Corpus:
    return ReviewFolders(_path(config), config.validation, config.test)


def _book_pairs(config: CorpusConfig) -> Corpus:
    rules = _rules(PassageRules, config, (*_COUNTS, "passage_bytes", "seed"))
    rules = dataclasses.replace(rules, validation=config.validation, test=config.test)
    return BookPairs(_path(config), rules)


def _samples(config: CorpusConfig, corpus: Corpus) -> Codec:
    if not isinstance(corpus, LabelledClips):
        raise TypeError(f"expected labelled clips, got {type(corpus).__name__}")
    return SampleCodec(corpus.sample_rate)


def _sounds(
    name: str,
    open_them: Callable[[CorpusConfig], Corpus],
    needs: str,
    *options: str,
    download: str | None = None,
) -> CorpusKind:
    return CorpusKind(
        name=name,
        tokenizers=(SampleCodec.kind,),
        open=open_them,
        codec=_samples,
        options=("path", "sample_rate", *options),
        needs_path=needs,
        download=download,
    )


KINDS = (
    CorpusKind(
        name="listops",
        tokenizers=(ListOpsCodec.kind,),
        open=_listops,
        codec=lambda config, corpus: ListOpsCodec(),
        options=("path", *_LISTOPS),
    ),
    CorpusKind(
        name="imdb",
        tokenizers=(ByteCodec.kind,),
        open=_imdb,
        codec=lambda config, corpus: ByteCodec(),
        options=("path",),
        needs_path="the folder aclImdb, or one with train.tsv.gz and test.tsv.gz",
    ),
    CorpusKind(
        name="movie-reviews",
        tokenizers=(ByteCodec.kind,),
        open=_movie_reviews,
        codec=lambda config, corpus: ByteCodec(),
        options=("path",),
        needs_path="movie_reviews.zip, or a folder with folders pos and neg",
    ),
    CorpusKind(
        name="mnist-pixels",
        tokenizers=(PixelCodec.kind,),
        open=lambda config: mnist_pixels(_path(config), config.validation, config.test),
        codec=lambda config, corpus: PixelCodec(),
        options=("path",),
        needs_path="the folder of the idx files",
    ),
    CorpusKind(
        name="cifar10-pixels",
        tokenizers=(PixelCodec.kind,),
        open=lambda config: cifar10_pixels(_path(config), config.validation),
        codec=lambda config, corpus: PixelCodec(),
        options=("path",),
        needs_path="the folder cifar-10-batches-bin",
    ),
    CorpusKind(
        name="digits-pixels",
        tokenizers=(PixelCodec.kind,),
        open=lambda config: small_digits_pixels(config.validation, config.test),
        codec=lambda config, corpus: PixelCodec(),
    ),
    CorpusKind(
        name="aan-pairs",
        tokenizers=(PairCodec.kind,),
        open=_pairs,
        download="lra",
        codec=lambda config, corpus: PairCodec(),
        options=("path",),
        needs_path="the folder of the .train.tsv, .eval.tsv and .test.tsv files",
    ),
    CorpusKind(
        name="book-pairs",
        tokenizers=(PairCodec.kind,),
        open=_book_pairs,
        codec=lambda config, corpus: PairCodec(),
        options=("path", *_COUNTS, "passage_bytes", "seed"),
        needs_path="a folder with a text file per book",
    ),
    _sounds(
        "fsd50k",
        lambda config: fsd50k(corpus_root(config), config.sample_rate or 16_000),
        "the folder of FSD50K.ground_truth",
        download="fsd50k",
    ),
    _sounds(
        "esc",
        lambda config: esc(
            corpus_root(config),
            config.sample_rate or 16_000,
            5 if config.fold is None else config.fold,
        ),
        "the folder of ESC-50, or one with labels.csv",
        "fold",
        download="esc-50",
    ),
    _sounds(
        "spoken-digits",
        lambda config: spoken_digits(_path(config), config.sample_rate or 8_000),
        "the zip archive or folder of the recordings",
    ),
)
CODECS: tuple[type[Codec], ...] = (ListOpsCodec, PixelCodec, PairCodec, SampleCodec)
