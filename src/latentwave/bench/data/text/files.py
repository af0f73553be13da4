"""Text files as a corpus: one document each, or the articles of WikiText."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Document, FileCorpus, Found, UnusableFileError
from latentwave.bench.data.files import DAMAGED_ARCHIVE, open_unpacked

CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache
LOST_SHARE = 0.01
# " = Title = " stands alone on its line; sections have more equals signs.
_TITLE = re.compile(r"^ = (?!=).+(?<!=) = $")


class TextFiles(FileCorpus):
    r"""UTF-8 text files, one document each, one after the other with nothing between them.

    Line ends become "\n" and a byte order mark at the start is dropped; all else stays. Packed
    files (.gz, .bz2, .xz, .zst) are unpacked on the way. Bytes that are no text are left out and
    counted; a file where they are more than one in a hundred, or that holds zero bytes, is
    skipped.

    Args:
        found: the files.
        articles: whether each article is a document, as WikiText writes them.
    """

    def __init__(self, found: Found, *, articles: bool = False) -> None:
        super().__init__(found)
        self._has_articles = articles

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        if not self._has_articles:
            yield from super()._documents_of(name, split)
            return
        for article in _articles(self._pieces(name)):
            yield Document(pieces=(article,), split=split)

    def _read(self, name: str, path: Path, lost: list[str]) -> Iterator[str]:
        return read_text(path, lost)


def read_text(path: Path, lost: list[str], *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[str]:
    r"""Read UTF-8 text in pieces, with "\n" for every line end.

    Args:
        path: the file, packed or not.
        lost: takes in words for what could not be read.
        chunk_bytes: bytes per piece.

    Yields:
        Pieces of the text, some of them empty.

    Raises:
        UnusableFileError: for what is no UTF-8 text, with the place of the first bad byte.
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
        self.num_bytes = 0
        self.num_lost = 0
        self.first_lost = 0
        self._rest = b""

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        zero = chunk.find(b"\0")
        if zero >= 0:
            raise self.fault("a zero byte", self.num_bytes + zero)
        begin = self.num_bytes - len(self._rest)
        content = self._rest + chunk
        self.num_bytes += len(chunk)
        if begin == 0 and content.startswith(codecs.BOM_UTF8):
            content, begin = content[3:], 3
        parts, start = [], 0
        while True:
            try:
                text, used = codecs.utf_8_decode(content[start:], "strict", final)
            except UnicodeDecodeError as error:
                parts.append(content[start : start + error.start].decode())
                if not self.num_lost:
                    self.first_lost = begin + start + error.start
                self.num_lost += error.end - error.start
                start += error.end
                continue
            self._rest = content[start + used :]
            return "".join([*parts, text])

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
