"""The interface of codecs, which turn pieces of documents into tokens and back."""

import abc
import importlib
import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.corpus import UnusableFileError
from latentwave.errors import UserError


def optional_package(name: str, extra: str, what: str) -> Any:
    """Import a package of an extra; a UserError says what needs it and how to install it."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        raise UserError(
            f"{what} needs {name} ({error}): pip install 'latentwave[{extra}]'"
        ) from error


class Codec(abc.ABC):
    """Turns pieces into tokens, and tokens into files."""

    kind: ClassVar[str]  # the value of `corpus.tokenizer`
    unit: ClassVar[str]  # what bits are counted per: "character", "byte", "sample", "note", …
    # What tokens decode to; "task" if they are only classified.
    decodes_to: ClassVar[Literal["text", "sound", "music", "task"]] = "task"
    is_sound: ClassVar[bool] = False  # whether the constructor takes a sample rate
    vocab_size: int  # 0 for raw samples, which have no vocabulary
    dtype: str  # of one token: "uint8", "uint16", "uint32", or "int16" for raw samples
    sample_rate: int | None = None  # of sound, in Hz

    @abc.abstractmethod
    def encode(self, piece: Any) -> NDArray[Any]:
        """The tokens of a piece: (tokens,), of `dtype`."""

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """How many characters, bytes, samples, notes … the tokens hold, by unit."""
        return {self.unit: len(tokens)}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the codec's own files, if any; returns the other settings that `load` needs."""
        return {} if self.sample_rate is None else {"sample_rate": self.sample_rate}

    @classmethod
    def load(cls, folder: Path, **settings: Any) -> "Codec":
        """Read what `save` wrote; a UserError, ValueError or TypeError if it is damaged."""
        return cls(**settings)

    def write(self, tokens: NDArray[np.integer[Any]], path: Path) -> None:
        """Decode tokens into a file; a UserError if tokens are only classified."""
        raise UserError(f"{self.unit}s are classified, not written into files such as {path}")

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of a prompt, a text or a path; a UserError if it cannot be continued."""
        raise UserError(f"a model of {self.unit}s classifies, it cannot continue a prompt")

    def same_tokens(self, other: "Codec") -> bool:
        """Whether every token means the same to both codecs."""
        sizes = (self.vocab_size, self.sample_rate)
        return type(self) is type(other) and sizes == (other.vocab_size, other.sample_rate)

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """A short readable text per token, possibly of white space or control characters."""
        return [str(token) for token in tokens.tolist()]

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The equivalent tokenizer of transformers; a UserError if tokens are not text."""
        raise UserError(f"tokens of the kind {self.kind!r} are not text: they have no tokenizer")


class MediaCodec(Codec):
    """A codec whose tokens are heard, not read: sound or music."""

    a_file: ClassVar[str]  # what a prompt must be, with its article: "an audio file"
    suffixes: ClassVar[tuple[str, ...]]  # of the files that `write` writes, the default first
    end_token: int | None = None  # the token that ends every document, if there is one

    @abc.abstractmethod
    def encode_file(self, path: Path, lost: list[str]) -> NDArray[Any]:
        """The tokens of a file to continue; an UnusableFileError if it cannot be used.

        `lost` gets a message for what could not be read.
        """

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of the file at a path; a UserError if it cannot be used.

        Warns about what could not be read.
        """
        path, lost = Path(prompt).expanduser(), list[str]()
        if not path.is_file():
            raise UserError(f"the prompt of this model is {self.a_file}; there is none at {path}")
        try:
            tokens = self.encode_file(path, lost)
        except UnusableFileError as fault:
            raise UserError(f"the prompt {path} {fault}") from fault
        except OSError as error:
            raise UserError(
                f"the prompt {path} cannot be read ({error.strerror or error})"
            ) from error
        if lost:
            warnings.warn(f"the prompt {path}: {'; '.join(lost)}", stacklevel=2)
        return tokens

    @abc.abstractmethod
    def begin(self) -> NDArray[Any]:
        """The tokens that generation starts from without a prompt: at least one."""

    @abc.abstractmethod
    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens last."""
