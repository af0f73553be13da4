"""Bytes as tokens."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from latentwave.bench.data.text.characters import TextCodec, fast_tokenizer


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
        """The bytes of a text, or bytes as they are: (bytes,), uint8."""
        content = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass")
        return np.frombuffer(content, dtype=np.uint8)

    def units_of(self, tokens: NDArray[Any]) -> dict[str, int]:
        """Bytes, and characters by their first bytes."""
        continuing = int(np.count_nonzero((tokens & 0xC0) == 0x80))
        return {"character": len(tokens) - continuing, "byte": len(tokens)}

    @classmethod
    def load(cls, folder: Path) -> ByteCodec:
        """There is only one."""
        return cls()

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Write the bytes, whether they are text or not."""
        path.write_bytes(np.asarray(tokens).astype(np.uint8).tobytes())

    def token_names(self, tokens: NDArray[Any]) -> list[str]:
        """ASCII as it is, other bytes by their number in hexadecimal."""
        return [chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in tokens.tolist()]

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers that does the same."""
        table: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
        vocabulary = {symbol: byte for byte, symbol in table.items()}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return fast_tokenizer(tokenizer)
