"""What the text codecs share: tokenizer files, and characters and bytes of a text."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

TOKENIZER_FILE = "tokenizer.json"


def fast_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer for transformers that changes nothing when it decodes."""
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False
    )
    return fast


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        ValueError: if it is none.
    """
    content = path.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing more special
        raise ValueError(f"{path} is not a tokenizer: {error}") from error


def count_text(text: str) -> dict[str, int]:
    """Characters, and bytes of UTF-8.

    Example:
        >>> count_text("naïve")
        {'character': 5, 'byte': 6}
    """
    num_bytes = len(text) if text.isascii() else len(text.encode("utf-8"))
    return {"character": len(text), "byte": num_bytes}


def write_text(path: Path, text: str) -> None:
    """Write a text file as it is, line ends included."""
    path.write_text(text, encoding="utf-8", newline="")
