"""Between the pieces of documents and tokens."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.errors import UserError


class Encoder(abc.ABC):
    """What turns pieces into tokens while a store is written.

    Most are a `Codec`. One whose vocabulary is what the corpus holds gives provisional tokens
    first and says in `finish` what they become.
    """

    @abc.abstractmethod
    def encode(self, piece: Any) -> NDArray[Any]:
        """The tokens of a piece: (tokens,), of an integer type."""

    def encode_document(self, pieces: Iterable[Any]) -> Iterator[NDArray[Any]]:
        """The tokens of a document, in parts."""
        return map(self.encode, pieces)

    def count_units(self, piece: Any) -> dict[str, int]:
        """How much a piece holds, by unit, where tokens do not tell; see `Codec.units_of`."""
        return {}

    @abc.abstractmethod
    def finish(
        self, provisional: Iterable[NDArray[Any]]
    ) -> tuple[Codec, NDArray[np.integer[Any]] | None]:
        """The codec, and for provisional tokens the table that gives the final ones.

        Args:
            provisional: all tokens that were given, in parts.
        """


class Codec(Encoder):
    """Between pieces and tokens, and back.

    Attributes:
        kind: its name, the value of `corpus.tokenizer`.
        unit: what bits are counted per: "character", "byte", "sample", "note", …
        decodes_to: what tokens become: "text", "sound", "music", or "task" for the vocabularies
            of classification tasks, which nothing is generated in.
        suffix: of the files that `write` writes, such as ".txt".
        extra: the optional dependencies that it needs, as in `latentwave[audio]`; None: none.
        vocab_size: distinct tokens; 0 for raw samples, which have no vocabulary.
        dtype: of one token: "uint8", "uint16", "uint32", or "int16" for raw samples.
        tokens_per_second: of sound; None where that depends on the tokens, or they are not heard.
        separator: the token between the two halves of a document, where documents are pairs.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]
    suffix: ClassVar[str]
    decodes_to: ClassVar[Literal["text", "sound", "music", "task"]] = "task"
    extra: ClassVar[str | None] = None
    separator: ClassVar[int | None] = None
    vocab_size: int
    dtype: str
    tokens_per_second: int | None = None

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int] | None:
        """How much some tokens hold, by unit; by default one unit each.

        None where tokens alone do not tell: then `count_units` counts pieces, and documents must
        name their split.
        """
        return {self.unit: len(tokens)}

    def finish(self, provisional: Iterable[NDArray[Any]]) -> tuple[Codec, None]:
        """Itself: its tokens are final."""
        return self, None

    def save(self, folder: Path) -> None:
        """Write its own files into the folder of a store or of a model, if it has any."""

    @classmethod
    def load(cls, folder: Path) -> Codec:
        """Read what `save` wrote.

        Raises:
            UserError: if that is damaged.
        """
        return cls()

    @abc.abstractmethod
    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Decode tokens into a file."""

    @abc.abstractmethod
    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of what generation goes on with: a text, or the path of a file.

        Raises:
            UserError: if the vocabulary does not hold it.
        """

    def same_tokens(self, other: Codec) -> bool:
        """Whether a token means the same to both."""
        return type(self) is type(other) and self.vocab_size == other.vocab_size

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """Each token as a short text for people; may hold white space and control characters."""
        return [str(token) for token in tokens.tolist()]

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same.

        Raises:
            UserError: for tokens that are not text.
        """
        raise UserError(f"tokens of the kind {self.kind!r} are not text: they have no tokenizer")


class MediaCodec(Codec):
    """A codec whose tokens are heard, not read.

    Attributes:
        end_token: that a document ends with, if one does.
    """

    end_token: int | None = None

    @abc.abstractmethod
    def begin(self) -> NDArray[Any]:
        """The tokens that generation starts from where there is no prompt: at least one."""

    @abc.abstractmethod
    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens sound."""
