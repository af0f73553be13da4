"""Text files as a corpus: one document each, or the articles of WikiText."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import UnusableFileError
from latentwave.bench.data.files import open_unpacked
from latentwave.bench.data.folders import DAMAGED

CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache
LOST_SHARE = 0.01
# " = Title = " stands alone on its line; sections have more equals signs.
_TITLE = re.compile(r"^ = (?!=).+(?<!=) = $")
_NO_TEXT = re.compile("[\udc80-\udcff]")  # bytes that the decoder could not decode


def read_text(path: Path, lost: list[str]) -> Iterator[str]:
    r"""Read UTF-8 text in pieces, some of them empty, with "\n" for every line end.

    Packed files (.gz, .bz2, .xz, .zst) are unpacked on the way. A byte order mark at the start is
    dropped. Bytes that are no text are left out and counted: `lost` takes in words for what could
    not be read.

    Raises:
        UnusableFileError: for zero bytes, or more than one in a hundred that are no text.
    """
    remedy = "convert it to UTF-8 or leave it out"
    num_read = num_lost = first = 0
    line = 1
    for piece in _decoded(path, lost):
        if "\0" in piece:
            line += piece[: piece.index("\0")].count("\n")
            raise UnusableFileError(f"is not UTF-8 text: a zero byte in line {line}; {remedy}")
        num_read += len(piece)
        text = piece if piece.isascii() else _NO_TEXT.sub("", piece)
        if len(text) < len(piece) and not first:
            first = line + _NO_TEXT.split(piece, maxsplit=1)[0].count("\n")
        num_lost += len(piece) - len(text)
        line += piece.count("\n")
        yield text
    if num_lost:
        words = f"invalid bytes: {num_lost:,}, the first in line {first}"
        if num_lost > LOST_SHARE * num_read:
            raise UnusableFileError(f"is not UTF-8 text: {words}; {remedy}")
        lost.append(words)


def _decoded(path: Path, lost: list[str]) -> Iterator[str]:
    """Text in which each byte that is none stands as half a character."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    num_bytes = 0
    try:
        with open_unpacked(path) as file:
            # read() would drop what it unpacked before a fault.
            while chunk := file.read1(CHUNK_BYTES):
                num_bytes += len(chunk)
                yield newlines.decode(chunk)
    except (OSError, *DAMAGED) as error:
        if not num_bytes:
            raise UnusableFileError(f"cannot be read ({error})") from error
        lost.append(f"it breaks off after {num_bytes:,} bytes ({error})")
    yield newlines.decode(b"", final=True)


def read_articles(path: Path, lost: list[str]) -> Iterator[str]:
    """The articles of WikiText, read as `read_text` does."""
    article: list[str] = []
    for line in _lines(read_text(path, lost)):
        if article and _TITLE.match(line.rstrip("\n")):
            yield "".join(article)
            article = []
        article.append(line)
    if article:
        yield "".join(article)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest
