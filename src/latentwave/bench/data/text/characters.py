"""Codecs of text: characters and bytes as tokens, and what all text codecs share."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.metadata import token_dtype
from latentwave.errors import UserError

TOKENIZER_FILE = "tokenizer.json"
_CHUNK_CHARACTERS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Draft:
    """The code points of all texts of a corpus."""

    points: NDArray[Any]  # (characters,), memory-mapped
    pieces: NDArray[np.int64]  # where each piece begins
    num_training: int  # the first characters, those to train on


class TextCodec(Codec):
    """A codec of text, saved as a tokenizer of transformers."""

    unit = "character"
    decodes_to = "text"

    def encode_document(self, pieces: Iterable[str]) -> Iterator[NDArray[Any]]:
        """The tokens of a document, in parts."""
        return map(self.encode, pieces)

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of a text, see `encode`."""
        return self.encode(prompt)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer for `transformers.AutoTokenizer.from_pretrained(folder)`."""
        self.tokenizer.save_pretrained(folder)
        return {}

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Decode tokens into a text file, with unchanged line ends."""
        text = self.tokenizer.backend_tokenizer.decode(tokens.tolist(), skip_special_tokens=False)
        path.write_text(text, encoding="utf-8", newline="")

    def same_tokens(self, other: Codec) -> bool:
        """Whether both have the same vocabulary."""
        vocabulary = self.tokenizer.get_vocab()
        return self.kind == other.kind and vocabulary == other.tokenizer.get_vocab()

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """What each token alone decodes to."""
        return [str(self.tokenizer.decode([token])) for token in tokens.tolist()]


class CharacterCodec(TextCodec):
    """One token per character: its place in the sorted vocabulary of distinct characters.

    Example:
        >>> CharacterCodec("abn").encode("banana").tolist()
        [1, 0, 2, 0, 2, 0]
    """

    kind = "characters"

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary or len(set(vocabulary)) != len(vocabulary):
            raise ValueError(f"vocabulary must hold distinct characters, got {vocabulary!r}")
        self.vocabulary = vocabulary
        self.vocab_size = len(vocabulary)
        self.dtype = token_dtype(self.vocab_size)
        # The last entry is for every larger code point.
        size = max(map(ord, vocabulary)) + 2
        self.table = np.full(size, self.vocab_size, dtype=token_dtype(self.vocab_size + 1))
        self.table[_code_points(vocabulary)] = np.arange(self.vocab_size)

    @classmethod
    def of(cls, draft: Draft) -> "CharacterCodec":
        """The codec whose vocabulary is the characters of a draft."""
        seen = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
        for start in range(0, len(draft.points), _CHUNK_CHARACTERS):
            seen[draft.points[start : start + _CHUNK_CHARACTERS]] = True
        return cls("".join(map(chr, np.flatnonzero(seen))))

    @classmethod
    def load(cls, folder: Path, **_: Any) -> "CharacterCodec":
        """Read what `save` wrote."""
        tokens = read_tokenizer(folder).get_vocab()
        return cls("".join(sorted(tokens, key=tokens.__getitem__)))

    def encode(self, text: str) -> NDArray[Any]:
        """The tokens of a text: (characters,), of `dtype`; a UserError for unknown characters."""
        tokens: NDArray[Any] = self.table[np.minimum(_code_points(text), len(self.table) - 1)]
        if tokens.size and tokens.max() == self.vocab_size:
            position = int((tokens == self.vocab_size).argmax())
            character = text[position]
            raise UserError(
                f"character {character!r} (U+{ord(character):04X}) at position {position} is not "
                f"one of the {self.vocab_size} characters of the vocabulary: leave it out, or "
                "prepare a corpus with it"
            )
        return tokens.astype(self.dtype, copy=False)

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The equivalent tokenizer of transformers."""
        vocabulary = {character: token for token, character in enumerate(self.vocabulary)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary))
        # A dot would not match the newline.
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return fast_tokenizer(tokenizer)


class CodePoints(Codec):
    """Encodes texts as code points until all are read; `make` then gives their final codec."""

    unit = "character"
    dtype = "uint32"

    def __init__(self, make: Callable[[Draft], TextCodec]) -> None:
        self.make = make

    def encode(self, piece: str) -> NDArray[Any]:
        """The code points: (characters,), uint32."""
        return _code_points(piece)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """Characters, and bytes of UTF-8."""
        longer = sum(int(np.count_nonzero(tokens > last)) for last in (0x7F, 0x7FF, 0xFFFF))
        return {"character": len(tokens), "byte": len(tokens) + longer}


class ByteCodec(TextCodec):
    """One token per byte of the UTF-8 text: the token is the byte.

    Example:
        >>> ByteCodec().encode("né").tolist()
        [110, 195, 169]
    """

    kind = "bytes"
    unit = "byte"
    vocab_size = 256
    dtype = "uint8"

    def encode(self, piece: str | bytes) -> NDArray[Any]:
        """The bytes of a text, or the given bytes: (bytes,), uint8."""
        content = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass")
        return np.frombuffer(content, dtype=np.uint8)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """Bytes, and characters by their first bytes."""
        continuing = int(np.count_nonzero((tokens & 0xC0) == 0x80))
        return {"character": len(tokens) - continuing, "byte": len(tokens)}

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Write the bytes, whether or not they are valid text."""
        path.write_bytes(np.asarray(tokens).astype(np.uint8).tobytes())

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """ASCII characters, and other bytes in hexadecimal."""
        return [chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in tokens.tolist()]

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The equivalent tokenizer of transformers."""
        table: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
        tokenizer = Tokenizer(models.BPE({symbol: byte for byte, symbol in table.items()}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return fast_tokenizer(tokenizer)


def _code_points(text: str) -> NDArray[Any]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def text_pieces(points: NDArray[Any]) -> Iterator[str]:
    """The text of code points, in pieces."""
    for start in range(0, len(points), _CHUNK_CHARACTERS):
        part = points[start : start + _CHUNK_CHARACTERS]
        yield part.tobytes().decode("utf-32-le", "surrogatepass")


def fast_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer for transformers, so that decoding changes nothing."""
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False
    )
    return fast


def tokenizer_file(path: Path) -> Path:
    """The tokenizer.json at a path or in its folder; a UserError if there is none."""
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():  # opening a named pipe would block
        raise UserError(f"there is no tokenizer {file}: name a {TOKENIZER_FILE} or its folder")
    return file


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json from its path or folder; a UserError if it is not one."""
    file = tokenizer_file(path)
    try:
        return Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing more specific
        raise UserError(f"{file} is not a tokenizer: {error}") from error
