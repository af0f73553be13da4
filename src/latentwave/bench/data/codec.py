"""Between the pieces of documents and tokens."""

from __future__ import annotations

import abc
import importlib
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.corpus import UnusableFileError
from latentwave.errors import UserError


def optional_package(name: str, extra: str, what: str) -> Any:
    """A package of an extra; a UserError says what needs it, and how to get it."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library under it is missing
        raise UserError(
            f"{what} needs {name} ({error}): pip install 'latentwave[{extra}]'"
        ) from error


class Codec(abc.ABC):
    """Between pieces and tokens, and back."""

    kind: ClassVar[str]  # its name, the value of `corpus.tokenizer`
    unit: ClassVar[str]  # what bits are counted per: "character", "byte", "sample", "note", …
    # What tokens become; "task": nothing is generated in them.
    decodes_to: ClassVar[Literal["text", "sound", "music", "task"]] = "task"
    is_sound: ClassVar[bool] = False  # whether it is made with a sample rate
    vocab_size: int  # distinct tokens; 0 for raw samples, which have no vocabulary
    dtype: str  # of one token: "uint8", "uint16", "uint32", or "int16" for raw samples
    sample_rate: int | None = None  # of sound, in Hz

    @abc.abstractmethod
    def encode(self, piece: Any) -> NDArray[Any]:
        """The tokens of a piece: (tokens,), of `dtype`."""

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """How much some tokens hold, by unit."""
        return {self.unit: len(tokens)}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write its own files, if any; returns the settings that `load` needs besides."""
        return {} if self.sample_rate is None else {"sample_rate": self.sample_rate}

    @classmethod
    def load(cls, folder: Path, **settings: Any) -> Codec:
        """Read what `save` wrote; a UserError, ValueError or TypeError if that is damaged."""
        return cls(**settings)

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Decode tokens into a file; a UserError for those of classifiers."""
        raise UserError(f"{self.unit}s are classified, not written into files such as {path}")

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of a text, or of the file of a path, to go on with; else a UserError."""
        raise UserError(f"a model of {self.unit}s classifies, it does not go on with a prompt")

    def same_tokens(self, other: Codec) -> bool:
        """Whether a token means the same to both."""
        alike = self.vocab_size == other.vocab_size and self.sample_rate == other.sample_rate
        return type(self) is type(other) and alike

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """Each token as a short text for people; may hold white space and control characters."""
        return [str(token) for token in tokens.tolist()]

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same; a UserError if tokens are no text."""
        raise UserError(f"tokens of the kind {self.kind!r} are not text: they have no tokenizer")


class MediaCodec(Codec):
    """A codec whose tokens are heard, not read."""

    a_file: ClassVar[str]  # what prompts are, with its article: "an audio file"
    suffixes: ClassVar[tuple[str, ...]]  # of the files that `write` writes, the default first
    end_token: int | None = None  # that a document ends with, if one does

    @abc.abstractmethod
    def encode_file(self, path: Path) -> NDArray[Any]:
        """The tokens of a file to go on with; an UnusableFileError for nothing of the kind."""

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of the file of a path; a UserError if it cannot be used."""
        path = Path(prompt).expanduser()
        if not path.is_file():
            raise UserError(f"the prompt of this model is {self.a_file}; there is none at {path}")
        try:
            return self.encode_file(path)
        except UnusableFileError as fault:
            raise UserError(f"the prompt {path} {fault}") from fault
        except OSError as error:
            raise UserError(
                f"the prompt {path} cannot be read ({error.strerror or error})"
            ) from error

    @abc.abstractmethod
    def begin(self) -> NDArray[Any]:
        """The tokens that generation starts from where there is no prompt: at least one."""

    @abc.abstractmethod
    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens sound."""
