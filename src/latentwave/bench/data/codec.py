"""Between the pieces of documents and tokens."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.errors import UserError


class Encoder(abc.ABC):
    """What turns pieces into tokens while a store is written.

    Most are a `Codec`. One that learns its vocabulary on the way gives provisional tokens first
    and says in `finish` what they become.

    Attributes:
        is_final: whether `encode` gives the tokens that the store keeps.
    """

    is_final: bool = True

    @abc.abstractmethod
    def encode(self, piece: Any) -> NDArray[Any]:
        """The tokens of a piece: (tokens,), of an integer type."""

    @abc.abstractmethod
    def count_units(self, piece: Any) -> dict[str, int]:
        """How much a piece holds, by the name of the unit, such as "character" and "byte"."""

    def mark(self) -> int:
        """What `rollback` needs to know to forget what comes now."""
        return 0

    def rollback(self, mark: int) -> None:
        """Forget what was learned since `mark`: a document could not be read to its end."""
        return

    @abc.abstractmethod
    def finish(self) -> tuple[Codec, NDArray[Any] | None]:
        """The codec, and for provisional tokens the table that gives the final ones."""


class Codec(Encoder):
    """Between pieces and tokens, and back.

    Attributes:
        kind: its name, the value of `corpus.tokenizer`.
        unit: what bits are counted per: "character", "byte", "sample" or "note".
        suffix: of the files that `write` writes, such as ".txt".
        vocab_size: distinct tokens; 0 for raw samples, which have no vocabulary.
        dtype: of one token: "uint8", "uint16", "uint32", or "int16" for raw samples.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]
    suffix: ClassVar[str]
    vocab_size: int
    dtype: str

    @abc.abstractmethod
    def num_units(self, piece: Any) -> int:
        """How many of its units a piece holds."""

    def count_units(self, piece: Any) -> dict[str, int]:
        """How much a piece holds, by the name of the unit; text counts characters and bytes."""
        return {self.unit: self.num_units(piece)}

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int] | None:
        """How much some tokens hold, exactly.

        None where tokens alone do not tell; the borders of splits are then moved to the end of a
        piece, whose units were counted.
        """
        return None

    def finish(self) -> tuple[Codec, None]:
        """Itself: its tokens are final."""
        return self, None

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write its own files into the folder of a store or of a model."""

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path) -> Codec:
        """Read what `save` wrote."""

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

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same.

        Raises:
            UserError: for tokens that are not text.
        """
        raise UserError(f"tokens of the kind {self.kind!r} are not text: they have no tokenizer")
