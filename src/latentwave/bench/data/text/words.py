"""Cutting text where no word is cut in two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# Before white space that follows something else: every usual pre-tokenizer cuts there too.
_BORDER = re.compile(r"(?<=\S)(?=\s)")
_LONGEST_WORD = 1 << 12


def cut_at_words(text: str, num_characters: int) -> Iterator[str]:
    """Cut a text into parts of at least `num_characters` that end where a word does.

    A run without white space of more than 4096 characters is cut all the same.

    Example:
        >>> list(cut_at_words("to be, or not to be", 4))
        ['to be,', ' or not', ' to be']
    """
    start = 0
    while len(text) - start > num_characters:
        least = start + num_characters
        found = _BORDER.search(text, least, least + _LONGEST_WORD)
        stop = found.start() if found else min(least + _LONGEST_WORD, len(text))
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]


def whole_words(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that end where a word does.

    Example:
        >>> list(whole_words(["to be, o", "r not to ", "be"]))
        ['to be,', ' or not to', ' be']
    """
    rest = ""
    for piece in pieces:
        text = rest + piece
        stop = _last_border(text)
        if stop:
            yield text[:stop]
        rest = text[stop:]
    if rest:
        yield rest


def _last_border(text: str) -> int:
    """Where the last word ends that something follows; 0 if there is no such place."""
    for place in range(len(text) - 1, max(0, len(text) - _LONGEST_WORD), -1):
        if text[place].isspace() and not text[place - 1].isspace():
            return place
    return max(0, len(text) - _LONGEST_WORD)
