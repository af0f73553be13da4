"""A text file, or a folder of them, as a corpus."""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from latentwave.data.characters import CharacterSet
from latentwave.data.corpus import Corpus
from latentwave.data.metadata import Source
from latentwave.errors import UserError

CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache


class TextFiles(Corpus):
    r"""UTF-8 text files, one document each, one after the other with nothing between them.

    Line ends become "\n" and a byte order mark at the start is dropped; all else stays. Every
    file is read once here, for its digest, its characters and its faults. Files and folders whose
    name starts with a dot, and files without text, are left out.

    Args:
        path: one file, or a folder whose files, those of its sub-folders included, are taken in
            the order of their names.

    Raises:
        UserError: if nothing is there, a single file is not text, or no file of a folder is.

    Warns:
        UserWarning: how many files of a folder were skipped because they are not text.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UserError(f"there is no file or folder {path}: check the path")
        is_folder = path.is_dir()
        found = _files(path) if is_folder else [path]
        if not found:
            raise UserError(f"the folder {path} holds no files: name one that holds text files")
        self._files: list[_TextFile] = []
        faults: list[UserError] = []
        for file in found:
            name = file.relative_to(path).as_posix() if is_folder else file.name
            try:
                inspected = _inspect(file, name)
            except UserError as error:
                if not is_folder:
                    raise
                faults.append(error)
                continue
            if inspected.characters:
                self._files.append(inspected)
        if not self._files:
            if faults:
                raise UserError(
                    f"none of the {len(found)} files in {path} is text; the first: {faults[0]}"
                )
            raise UserError(f"{path} is empty: name a file or folder that holds text")
        if faults:
            warnings.warn(
                f"skipped {len(faults)} of {len(found)} files in {path}, which are not text; "
                f"the first: {faults[0]}",
                stacklevel=2,
            )
        self.sources = [file.source for file in self._files]
        self.num_skipped_files = len(faults)

    def characters(self) -> str:
        """The distinct characters of all files, sorted by Unicode number."""
        return "".join(sorted(set().union(*(file.characters for file in self._files))))

    def documents(self) -> Iterator[Iterable[str]]:
        """One document per file, in pieces.

        Raises:
            UserError: if a file has changed since it was inspected.
        """
        for file in self._files:
            yield file.read()


@dataclasses.dataclass(frozen=True)
class _TextFile:
    path: Path
    source: Source
    characters: str

    def read(self) -> Iterator[str]:
        digest = hashlib.sha256()
        yield from read_text(self.path, digest.update)
        if digest.hexdigest() != self.source.sha256:
            raise UserError(
                f"{self.path} changed while it was being read: prepare the corpus again when the "
                "file is complete"
            )


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
        UserError: for bytes that are not UTF-8 text, with the offset of the first, and for a file
            that cannot be read.
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
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _not_text(path: Path, offset: int, what: str) -> UserError:
    return UserError(
        f"{path} is not UTF-8 text: {what} at byte {offset}; convert the file to UTF-8 or leave "
        "it out"
    )


def _inspect(path: Path, name: str) -> _TextFile:
    digest, seen, num_bytes = hashlib.sha256(), CharacterSet(), path.stat().st_size
    for piece in read_text(path, digest.update):
        seen.add(piece)
    source = Source(name=name, num_bytes=num_bytes, sha256=digest.hexdigest())
    return _TextFile(path, source, seen.characters())


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)
