"""Which corpus, cut into which tokens and splits."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection
from typing import Literal

from latentwave.bench.data.checks import LARGEST_SEED, check_values, number
from latentwave.bench.data.corpus import Corpus
from latentwave.errors import UserError

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """A corpus and how it becomes tokens.

    Options that are None are not given; a corpus refuses those that mean nothing to it.

    Attributes:
        name: the kind of corpus, one of `latentwave.bench.data.CORPORA`. "python-docs", the English
            prose that ships with Python, needs no download.
        path: the file, folder or archive that is read.
        tokenizer: what a token is; None for the corpus's own default.
        validation: share of the tokens, after the training tokens, that is kept for validation;
            of the training tokens where a corpus comes with a test split alone; not used where it
            comes with both.
        test: share of the tokens, at the end, that is kept for the test; not used where a corpus
            comes with splits.
        sample_rate: of sound, in Hz; other rates are resampled. Recordings: 16,000 by default.
        fold: of a corpus with five folds, the one that is the test.
        num_train: examples to draw for training, where a corpus is drawn.
        num_validation: to draw for validation.
        num_test: to draw for the test.
        min_length: symbols that an expression of ListOps must exceed.
        max_length: symbols that it must stay below.
        max_depth: of its nesting.
        max_arguments: of one operator.
        seed: of the draws, from 0 to 2^32 − 1.
        pattern: of the names of a folder's files, such as "*.py" (text).
        text_field: the field or column that holds the text; default: "text" (jsonl, csv, parquet,
            datasets).
        vocab_size: tokens that are learned from the training text, all 256 bytes included; default:
            4096 (tokenizer "bpe").
        tokenizer_path: a tokenizer.json, or the folder of one (tokenizer "pretrained").
        split_by: how files are divided into splits. "name": by what they or their folders are
            called (train, valid, test), the default where names say so; "tokens": the store is cut
            by shares, the default of text and recordings; "file": whole files, the default of
            music; "folder": whole folders, where one holds several performances of one piece.

    Raises:
        UserError: for an unknown name, or an option that is missing, not wanted or out of range.
    """

    name: str = "python-docs"
    path: str | None = None
    tokenizer: str | None = None
    validation: float = number(0.05, 0, below=1)
    test: float = number(0.05, 0, below=1)
    sample_rate: int | None = number(None, LOWEST_RATE, most=HIGHEST_RATE)
    fold: int | None = number(None, 1, most=5)
    num_train: int | None = None
    num_validation: int | None = None
    num_test: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_depth: int | None = None
    max_arguments: int | None = None
    seed: int | None = number(None, 0, most=LARGEST_SEED)
    pattern: str | None = None
    text_field: str | None = None
    vocab_size: int | None = number(None, 256, most=1 << 20)
    tokenizer_path: str | None = None
    split_by: Literal["name", "tokens", "file", "folder"] | None = None

    def __post_init__(self) -> None:
        check_values(self)
        if self.name not in CORPORA:
            close = difflib.get_close_matches(self.name, CORPORA, n=1)
            hint = f", did you mean {close[0]!r}" if close else ""
            raise UserError(
                f"there is no corpus {self.name!r}{hint}; known are: {', '.join(CORPORA)}"
            )
        kind, tokenizer = self.kind, self.tokenizer_name
        if tokenizer not in kind.tokenizers:
            raise UserError(
                f"the corpus {self.name!r} has no tokenizer {self.tokenizer!r}; known are: "
                f"{', '.join(kind.tokenizers)}"
            )
        for option, value in self.given_options().items():
            if option not in kind.options:
                others = [other.name for other in CORPORA.values() if option in other.options]
                raise UserError(
                    f"the corpus {self.name!r} takes no {option}, got {value!r}; it is an option "
                    f"of: {', '.join(others)}"
                )
        for split in ("validation", "test"):
            share = getattr(self, split)
            if split not in kind.shares and share != type(self).__dataclass_fields__[split].default:
                raise UserError(
                    f"the corpus {self.name!r} comes with its {split} split and takes no share "
                    f"for it, got {split}={share}: leave it out"
                )
        if kind.needs_path and not self.path and (self.path == "" or kind.download is None):
            raise UserError(f"the corpus {self.name!r} needs a path: {kind.needs_path}")
        if self.validation + self.test >= 1.0:
            raise UserError(
                f"validation={self.validation} and test={self.test} leave nothing to train on: "
                "their sum must be below 1"
            )
        if self.vocab_size is not None and tokenizer != "bpe":
            raise UserError(
                f"vocab_size={self.vocab_size} is for the tokenizer 'bpe', not for {tokenizer!r}"
            )
        if (tokenizer == "pretrained") != (self.tokenizer_path is not None):
            raise UserError(
                "the tokenizer 'pretrained' and the option tokenizer_path, a tokenizer.json, go "
                f"together; got {tokenizer!r} and {self.tokenizer_path!r}"
            )

    @property
    def kind(self) -> CorpusKind:
        """The kind of corpus that the name means."""
        return CORPORA[self.name]

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer, the corpus's default if none is given."""
        return self.kind.tokenizers[0] if self.tokenizer is None else self.tokenizer

    @property
    def rate(self) -> int:
        """The sample rate of sound, in Hz."""
        return self.kind.sample_rate if self.sample_rate is None else self.sample_rate

    def given_options(self) -> dict[str, object]:
        """The options that are set, without name, tokenizer and shares."""
        others = ("name", "tokenizer", "validation", "test")
        values = {name: value for name, value in vars(self).items() if name not in others}
        return {name: value for name, value in values.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusKind:
    """One kind of corpus."""

    name: str  # what `CorpusConfig.name` says
    tokenizers: tuple[str, ...]  # the kinds of codec that fit; the first is the default
    read: Callable[[CorpusConfig], Corpus]  # looks the files up
    options: tuple[str, ...] = ()  # the further fields of `CorpusConfig` that mean something here
    needs_path: str = ""  # what the path must name; empty where there may be none
    download: str | None = None  # what is read without a path, by its name in the catalogue
    suffixes: Collection[str] = ()  # of its files, lower case, unpacked; empty: it takes all
    sample_rate: int = 16_000  # the default, of sound
    shares: tuple[str, ...] = ("validation", "test")  # those that it may be cut by


# Filled by corpora.py, which knows the kinds; here, because a configuration is checked by them.
CORPORA: dict[str, CorpusKind] = {}
