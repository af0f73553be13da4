"""Text files as a corpus: one document each, or the articles of WikiText."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import FileCorpus, Found, UnusableFileError
from latentwave.bench.data.files import DAMAGED_ARCHIVE, open_unpacked

CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache
LOST_SHARE = 0.01
# " = Title = " stands alone on its line; sections have more equals signs.
_TITLE = re.compile(r"^ = (?!=).+(?<!=) = $")


class TextFiles(FileCorpus):
    """UTF-8 text files, one document each, or with `articles` one per article of WikiText.

    Packed files (.gz, .bz2, .xz, .zst) are unpacked on the way; see `read_text`.
    """

    def __init__(self, found: Found, *, articles: bool = False) -> None:
        super().__init__(found)
        self.pieces_are_documents = articles

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[str]:
        pieces = read_text(path, lost)
        return _articles(pieces) if self.pieces_are_documents else pieces


def read_text(path: Path, lost: list[str], *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[str]:
    r"""Read UTF-8 text in pieces, some of them empty, with "\n" for every line end.

    A byte order mark at the start is dropped. Bytes that are no text are left out and counted.

    `lost` takes in words for what could not be read.

    Raises:
        UnusableFileError: for zero bytes, or more than one in a hundred that are no text.
    """
    text = _Utf8()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    try:
        with open_unpacked(path) as file:
            while chunk := file.read(chunk_bytes):
                yield newlines.decode(text.decode(chunk))
    except (OSError, *DAMAGED_ARCHIVE) as error:
        if not text.num_bytes:
            raise UnusableFileError(f"cannot be read ({error})") from error
        lost.append(f"it breaks off after {text.num_bytes:,} bytes ({error})")
    yield newlines.decode(text.decode(b"", final=True), final=True)
    if text.num_lost > LOST_SHARE * text.num_bytes:
        raise text.fault("invalid UTF-8", text.first_lost)
    if text.num_lost:
        lost.append(
            f"{text.num_lost:,} of {text.num_bytes:,} bytes are invalid UTF-8, the first at byte "
            f"{text.first_lost}"
        )


class _Utf8:
    """Decodes bytes in parts; leaves out and counts what is no text."""

    def __init__(self) -> None:
        self.num_bytes = self.num_lost = self.first_lost = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        zero = chunk.find(b"\0")
        if zero >= 0:
            raise self.fault("a zero byte", self.num_bytes + zero)
        content = self._decoder.getstate()[0] + chunk
        text, begin = self._decoder.decode(chunk, final), self.num_bytes + len(chunk) - len(content)
        used = len(text) if text.isascii() else len(text.encode())
        num_lost = len(content) - used - len(self._decoder.getstate()[0])
        if num_lost and not self.num_lost:
            try:
                content.decode()
            except UnicodeDecodeError as error:
                self.first_lost = begin + error.start
        self.num_bytes += len(chunk)
        self.num_lost += num_lost
        return text[1:] if begin == 0 and text.startswith("\ufeff") else text

    def fault(self, what: str, place: int) -> UnusableFileError:
        return UnusableFileError(
            f"is not UTF-8 text: {what} at byte {place}; convert it to UTF-8 or leave it out"
        )


def _articles(pieces: Iterable[str]) -> Iterator[str]:
    article: list[str] = []
    for line in _lines(pieces):
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
