"""Characters as tokens."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.codec import Codec, Encoder
from latentwave.bench.data.lookup import look_up
from latentwave.bench.data.metadata import token_dtype
from latentwave.bench.data.text.tokenizers import (
    TOKENIZER_FILE,
    count_text,
    fast_tokenizer,
    read_tokenizer,
    write_text,
)
from latentwave.errors import UserError


def code_points(text: str) -> NDArray[Any]:
    """The Unicode numbers of the characters: (len(text),), uint8 for ASCII, else uint32."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class CharacterCodec(Codec):
    """One token per character: the token is the character's place in the sorted vocabulary.

    Args:
        vocabulary: the distinct characters in the order of their tokens.

    Raises:
        ValueError: if it is empty or a character stands twice.

    Example:
        >>> codec = CharacterCodec("abn")
        >>> codec.encode("banana").tolist()
        [1, 0, 2, 0, 2, 0]
    """

    kind = "characters"
    unit = "character"
    suffix = ".txt"

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary or len(set(vocabulary)) != len(vocabulary):
            raise ValueError(f"vocabulary must hold distinct characters, got {vocabulary!r}")
        self.vocabulary = vocabulary
        self.vocab_size = len(vocabulary)
        self.dtype = token_dtype(self.vocab_size)
        self._unknown = self.vocab_size
        # The last entry stands for every larger code point.
        size = max(127, *map(ord, vocabulary)) + 2
        self._tokens = np.full(size, self._unknown, dtype=token_dtype(self._unknown + 1))
        self._tokens[code_points(vocabulary)] = np.arange(self._unknown)
        self._num_bytes = np.array(
            [len(character.encode("utf-8", "surrogatepass")) for character in vocabulary]
        )

    @classmethod
    def load(cls, folder: Path) -> CharacterCodec:
        """Read what `save` wrote."""
        tokens = read_tokenizer(folder / TOKENIZER_FILE).get_vocab()
        return cls("".join(sorted(tokens, key=tokens.__getitem__)))

    def num_units(self, piece: str) -> int:
        """Characters."""
        return len(piece)

    def count_units(self, piece: str) -> dict[str, int]:
        """Characters, and bytes of UTF-8."""
        return count_text(piece)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """Characters, and bytes of UTF-8."""
        return {"character": len(tokens), "byte": int(self._num_bytes.take(tokens).sum())}

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
        self.tokenizer.save_pretrained(folder)

    def same_tokens(self, other: Codec) -> bool:
        """Whether both have the same characters in the same order."""
        return isinstance(other, CharacterCodec) and self.vocabulary == other.vocabulary

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Decode tokens into a text file."""
        write_text(path, "".join(self.vocabulary[token] for token in tokens))

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of a text, see `encode`."""
        return self.encode(prompt)

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same."""
        vocabulary = {character: token for token, character in enumerate(self.vocabulary)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary))
        # A dot would not match the newline.
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return fast_tokenizer(tokenizer)


class GrowingCharacters(Encoder):
    """Characters whose vocabulary is not known before all of them have been read.

    A character's provisional token is its place in the order of first appearance; `finish` sorts.

    Example:
        >>> growing = GrowingCharacters()
        >>> growing.encode("banana").tolist()
        [1, 0, 2, 0, 2, 0]
        >>> growing.encode("cab").tolist()
        [3, 0, 1]
        >>> codec, table = growing.finish()
        >>> codec.vocabulary, table.tolist()
        ('abcn', [0, 1, 3, 2])
    """

    is_final = False

    def __init__(self) -> None:
        self._seen: list[int] = []
        # The largest value of the type stands for a character not seen yet.
        self._tokens = np.full(sys.maxunicode + 1, 255, dtype=np.uint8)

    def encode(self, text: str) -> NDArray[Any]:
        """Provisional tokens: (len(text),), in an unsigned type that may grow from call to call."""
        points = code_points(text)
        tokens = look_up(self._tokens, points)
        unknown = np.iinfo(self._tokens.dtype).max
        if tokens.size and tokens.max() == unknown:
            self._learn(np.unique(points[tokens == unknown]))
            tokens = look_up(self._tokens, points)
        return tokens

    def count_units(self, piece: str) -> dict[str, int]:
        """Characters, and bytes of UTF-8."""
        return count_text(piece)

    def mark(self) -> int:
        """The number of characters seen so far."""
        return len(self._seen)

    def rollback(self, mark: int) -> None:
        """Forget the characters that were seen since."""
        self._tokens[self._seen[mark:]] = np.iinfo(self._tokens.dtype).max
        del self._seen[mark:]

    def finish(self) -> tuple[Codec, NDArray[Any]]:
        """The codec with the sorted vocabulary, and the final token of each provisional one."""
        order = np.argsort(np.array(self._seen, dtype=np.int64))
        codec = CharacterCodec("".join(chr(self._seen[index]) for index in order))
        table = np.empty(len(order), dtype=codec.dtype)
        table[order] = np.arange(len(order))
        return codec, table

    def _learn(self, points: NDArray[Any]) -> None:
        known = len(self._seen)
        self._seen += points.tolist()
        # One value more than there are characters: the unknown one.
        dtype = np.dtype(token_dtype(len(self._seen) + 1))
        if dtype != self._tokens.dtype:
            wider = np.full(len(self._tokens), np.iinfo(dtype).max, dtype=dtype)
            wider[self._seen[:known]] = np.arange(known)
            self._tokens = wider
        self._tokens[points] = np.arange(known, len(self._seen))
