"""UTF-8 text from files, in pieces."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import UnreadableDocumentError

CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache


def read_text(
    path: Path, on_bytes: Callable[[bytes], object] | None = None, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[str]:
    r"""Read UTF-8 text in pieces, with "\n" for every line end.

    Args:
        path: the file.
        on_bytes: is called with the bytes of the file, piece by piece.
        chunk_bytes: bytes per piece.

    Yields:
        Pieces of the text, some of them empty.

    Raises:
        UnreadableDocumentError: for bytes that are not UTF-8 text, with the offset of the first,
            and for a file that cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    try:
        with path.open("rb") as file:
            mark = file.read(len(codecs.BOM_UTF8))
            if mark == codecs.BOM_UTF8:
                offset = len(mark)
                if on_bytes is not None:
                    on_bytes(mark)
            else:
                file.seek(0)
            final = False
            while not final:
                chunk = file.read(chunk_bytes)
                final = not chunk
                if on_bytes is not None:
                    on_bytes(chunk)
                zero = chunk.find(b"\0")
                if zero >= 0:
                    raise _not_text(path, offset + zero, "a zero byte")
                undecoded = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(chunk, final)
                except UnicodeDecodeError as error:
                    first = offset - undecoded + error.start
                    raise _not_text(path, first, "invalid UTF-8") from error
                offset += len(chunk)
                yield newlines.decode(text, final)
    except OSError as error:
        raise UnreadableDocumentError(f"cannot read {path}: {error.strerror or error}") from error


def _not_text(path: Path, offset: int, what: str) -> UnreadableDocumentError:
    return UnreadableDocumentError(
        f"{path} is not UTF-8 text: {what} at byte {offset}; convert the file to UTF-8 or leave "
        "it out"
    )
