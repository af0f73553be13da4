"""Bytes as tokens."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.text.tokenizers import fast_tokenizer


class ByteCodec(Codec):
    """One token per byte of the UTF-8 text: the token is the byte.

    Example:
        >>> ByteCodec().encode("né").tolist()
        [110, 195, 169]
    """

    kind = "bytes"
    unit = "byte"
    suffix = ".txt"
    vocab_size = 256
    dtype = "uint8"

    def encode(self, piece: str | bytes) -> NDArray[Any]:
        """The bytes of a text, or bytes as they are: (bytes,), uint8."""
        content = piece if isinstance(piece, bytes) else piece.encode("utf-8")
        return np.frombuffer(content, dtype=np.uint8)

    def num_units(self, piece: str | bytes) -> int:
        """Bytes."""
        return len(self.encode(piece))

    def count_units(self, piece: str | bytes) -> dict[str, int]:
        """Bytes, and characters by their first bytes."""
        return self.units_of(self.encode(piece))

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """Bytes, and characters by their first bytes."""
        continuing = int(np.count_nonzero((tokens & 0xC0) == 0x80))
        return {"character": len(tokens) - continuing, "byte": len(tokens)}

    def save(self, folder: Path) -> None:
        """Write the tokenizer for `transformers.AutoTokenizer.from_pretrained(folder)`."""
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> ByteCodec:
        """There is only one."""
        return cls()

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Write the bytes."""
        path.write_bytes(np.asarray(tokens).astype(np.uint8).tobytes())

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The bytes of a text."""
        return self.encode(prompt)

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same."""
        vocabulary = {symbol: byte for byte, symbol in byte_symbols().items()}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return fast_tokenizer(tokenizer)


@functools.cache
def byte_symbols() -> dict[int, str]:
    """The printable character that stands for each byte in byte-level tokenizer files.

    Printable Latin-1 characters stand for themselves, all others for those from U+0100 on, in
    order: the convention of GPT-2.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = dict(zip(printable, printable, strict=True))
    symbols |= {byte: 256 + index for index, byte in enumerate(others)}
    return {byte: chr(symbols[byte]) for byte in range(256)}
