"""The configuration of a corpus: what to read, its tokens and its splits."""

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

    An option left at None is not given; a corpus refuses options that mean nothing to it.

    Attributes:
        name: the kind of corpus, one of `latentwave.bench.data.CORPORA`. "python-docs", the English
            prose that ships with Python, needs no download.
        path: the file, folder or archive to read.
        tokenizer: what a token is; None for the corpus's own default.
        validation: share of the tokens, after the training tokens, that is kept for validation; a
            share of the training tokens if the corpus comes with only a test split.
        test: share of the tokens, at the end, that is kept for the test.
        sample_rate: of sound, in Hz; other rates are resampled. Recordings: 16,000 by default.
        fold: which of a corpus's five folds is the test.
        num_train: examples to draw for training (listops).
        num_validation: examples to draw for validation.
        num_test: examples to draw for the test.
        min_length: an expression of ListOps has more symbols than this.
        max_length: an expression has fewer symbols than this.
        max_depth: the deepest nesting of an expression.
        max_arguments: the most arguments of one operator.
        seed: of the draws, from 0 to 2^32 − 1.
        pattern: the names of a folder's files must match it, such as "*.py" (text).
        text_field: the field or column that holds the text; default: "text" (jsonl, csv, parquet,
            datasets).
        vocab_size: tokens to learn from the training text, all 256 bytes included; default: 4096
            (tokenizer "bpe").
        tokenizer_path: a tokenizer.json, or its folder (tokenizer "pretrained").
        split_by: how files are divided into splits. "name": by their names or their folders'
            (train, valid, test), the default if the names tell; "tokens": the store is cut by
            shares, the default of text and recordings; "file": whole files, the default of music;
            "folder": whole folders, each with several performances of one piece.

    Raises:
        UserError: for an unknown name, or an option that is missing, unwanted or out of range.
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
            if split not in kind.shares and share != getattr(CorpusConfig, split):
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
        if self.vocab_size and tokenizer != "bpe":
            raise UserError(
                f"vocab_size={self.vocab_size} is for the tokenizer 'bpe', not for {tokenizer!r}"
            )
        if (tokenizer == "pretrained") != (self.tokenizer_path is not None):
            raise UserError(
                "the tokenizer 'pretrained' and the option tokenizer_path, a tokenizer.json, go "
                f"together; got {tokenizer!r} and {self.tokenizer_path!r}"
            )

    @property
    def kind(self) -> "CorpusKind":
        """The entry of the table of corpora."""
        return CORPORA[self.name]

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer, or the corpus's default."""
        return self.kind.tokenizers[0] if self.tokenizer is None else self.tokenizer

    @property
    def rate(self) -> int:
        """The sample rate of sound, in Hz."""
        return self.kind.sample_rate if self.sample_rate is None else self.sample_rate

    def given_options(self) -> dict[str, object]:
        """The options that are set, besides name, tokenizer and shares."""
        others = ("name", "tokenizer", "validation", "test")
        given = vars(self).items()
        return {name: value for name, value in given if name not in others and value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusKind:
    """One kind of corpus."""

    name: str
    tokenizers: tuple[str, ...]  # kinds of codec, the default first
    read: Callable[[CorpusConfig], Corpus]  # looks up the files
    options: tuple[str, ...] = ()  # the other fields of `CorpusConfig` that it takes
    needs_path: str = ""  # what the path must name; empty if it takes no path
    download: str | None = None  # the entry of the catalogue that is read without a path
    suffixes: Collection[str] = ()  # of its files, lower case, unpacked; empty for any
    sample_rate: int = 16_000  # the default, of sound
    shares: tuple[str, ...] = ("validation", "test")  # that it may be cut by


# Filled by corpora.py, which knows the kinds; kept here because configurations are checked by it.
CORPORA: dict[str, CorpusKind] = {}
