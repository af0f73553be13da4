"""Reads text files in pieces, or as the articles of WikiText."""

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
# A line " = Title = "; those of sections have more equals signs.
_TITLE = re.compile(r"^ = (?!=).+(?<!=) = $")
_INVALID = re.compile("[\udc80-\udcff]")  # the decoder's surrogates for invalid bytes


def read_text(path: Path, lost: list[str]) -> Iterator[str]:
    r"""Read UTF-8 text in pieces, some of them empty, with "\n" for every line end.

    Compressed files (.gz, .bz2, .xz, .zst) are decompressed. A byte order mark at the start is
    dropped. Invalid bytes are left out, and `lost` gets a message for what could not be read.

    Raises:
        UnusableFileError: for a zero byte, or if more than one byte in a hundred is invalid.
    """
    remedy = "convert it to UTF-8 or leave it out"
    num_read = num_lost = first = 0
    line = 1
    for piece in _decoded(path, lost):
        if "\0" in piece:
            line += piece[: piece.index("\0")].count("\n")
            raise UnusableFileError(f"is not UTF-8 text: a zero byte in line {line}; {remedy}")
        num_read += len(piece)
        text = piece if piece.isascii() else _INVALID.sub("", piece)
        if len(text) < len(piece) and not first:
            first = line + _INVALID.split(piece, maxsplit=1)[0].count("\n")
        num_lost += len(piece) - len(text)
        line += piece.count("\n")
        yield text
    if num_lost:
        fault = f"invalid bytes: {num_lost:,}, the first in line {first}"
        if num_lost > LOST_SHARE * num_read:
            raise UnusableFileError(f"is not UTF-8 text: {fault}; {remedy}")
        lost.append(fault)


def _decoded(path: Path, lost: list[str]) -> Iterator[str]:
    """Text in which each invalid byte has become a lone surrogate."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    num_bytes = 0
    try:
        with open_unpacked(path) as file:
            # read() would drop what was decompressed before an error.
            while chunk := file.read1(CHUNK_BYTES):
                num_bytes += len(chunk)
                yield newlines.decode(chunk)
    except (OSError, *DAMAGED) as error:
        if not num_bytes:
            raise UnusableFileError(f"cannot be read ({error})") from error
        lost.append(f"it breaks off after {num_bytes:,} bytes ({error})")
    yield newlines.decode(b"", final=True)


def read_articles(path: Path, lost: list[str]) -> Iterator[str]:
    """The articles of WikiText, read by `read_text`."""
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
