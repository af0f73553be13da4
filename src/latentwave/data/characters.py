"""Characters as tokens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from latentwave.data.metadata import token_dtype
from latentwave.errors import UserError


def code_points(text: str) -> NDArray[Any]:
    """The Unicode numbers of the characters: (len(text),), uint8 for ASCII, else uint32."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class CharacterSet:
    """The distinct characters of texts of any length, in constant memory.

    Example:
        >>> seen = CharacterSet()
        >>> seen.add("banana")
        >>> seen.characters()
        'abn'
    """

    def __init__(self) -> None:
        self._seen = np.zeros(sys.maxunicode + 1, dtype=np.bool_)

    def add(self, text: str) -> None:
        """Take in the characters of a text."""
        self._seen[code_points(text)] = True

    def characters(self) -> str:
        """What was taken in, sorted by Unicode number."""
        return "".join(map(chr, np.flatnonzero(self._seen)))


class CharacterTokenizer:
    """One token per character: the token is the character's place in the sorted vocabulary.

    Args:
        vocabulary: the distinct characters in the order of their tokens.

    Raises:
        ValueError: if it is empty or a character stands twice.

    Example:
        >>> tokenizer = CharacterTokenizer("abn")
        >>> tokenizer.encode("banana").tolist()
        [1, 0, 2, 0, 2, 0]
    """

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary or len(set(vocabulary)) != len(vocabulary):
            raise ValueError(f"vocabulary must hold distinct characters, got {vocabulary!r}")
        self.vocabulary = vocabulary
        self.dtype = token_dtype(len(vocabulary))
        self._unknown = len(vocabulary)
        # The last entry stands for every larger code point.
        size = max(127, *map(ord, vocabulary)) + 2
        self._tokens = np.full(size, self._unknown, dtype=token_dtype(self._unknown + 1))
        self._tokens[code_points(vocabulary)] = np.arange(self._unknown)

    @classmethod
    def from_folder(cls, folder: Path) -> CharacterTokenizer:
        """Read what `save` wrote."""
        tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
        return cls("".join(sorted(tokens, key=tokens.__getitem__)))

    def encode(self, text: str) -> NDArray[Any]:
        """The tokens of a text.

        Returns:
            (len(text),), in the smallest unsigned type that holds the vocabulary.

        Raises:
            UserError: for a character that is not in the vocabulary, with its position.
        """
        points = code_points(text)
        if points.dtype != np.uint8:
            points = np.minimum(points, len(self._tokens) - 1)
        tokens: NDArray[Any] = self._tokens[points]
        if tokens.size and tokens.max() == self._unknown:
            position = int((tokens == self._unknown).argmax())
            character = text[position]
            raise UserError(
                f"character {character!r} (U+{ord(character):04X}) at position {position} is not "
                f"one of the {self._unknown} characters of the vocabulary: leave it out, or "
                "prepare a corpus that contains it"
            )
        return tokens.astype(self.dtype, copy=False)

    def save(self, folder: Path) -> None:
        """Write the tokenizer for `transformers.AutoTokenizer.from_pretrained(folder)`."""
        vocabulary = {character: token for token, character in enumerate(self.vocabulary)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary))
        # A dot would not match the newline.
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer, clean_up_tokenization_spaces=False
        )
        fast.save_pretrained(folder)
