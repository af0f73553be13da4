"""A text file, or a folder of them, as a corpus."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.digests import SourceDigest
from latentwave.bench.data.metadata import SkippedFile, Source
from latentwave.bench.data.text.reading import read_text
from latentwave.errors import UserError


class TextFiles(Corpus):
    r"""UTF-8 text files, one document each, one after the other with nothing between them.

    Line ends become "\n" and a byte order mark at the start is dropped; all else stays. Files and
    folders whose name starts with a dot, and files without text, are left out; files of a folder
    that are not text are skipped and counted.

    Args:
        path: one file, or a folder whose files, those of its sub-folders included, are taken in
            the order of their names.
        pattern: of the names of a folder's files, such as "*.py"; None takes all.

    Raises:
        UserError: if nothing is there.
    """

    def __init__(self, path: Path, pattern: str | None = None) -> None:
        super().__init__()
        if not path.exists():
            raise UserError(f"there is no file or folder {path}: check the path")
        self._path, self._is_folder = path, path.is_dir()
        found = find_files(path, pattern) if self._is_folder else [path]
        if not found:
            which = "files" if pattern is None else f"files like {pattern!r}"
            raise UserError(f"the folder {path} holds no {which}: name one that holds text files")
        self.files = {
            file.relative_to(path).as_posix() if self._is_folder else file.name: file
            for file in found
        }
        self._known: dict[str, Source | SkippedFile] = {}

    def documents(self) -> Iterator[Document]:
        """One document per file, in pieces.

        Raises:
            UserError: if a file has changed since it was read before; if a single file is not
                text, or no file of a folder is; if there is no text.
        """
        self.sources, self.skipped = [], []
        for name, path in self.files.items():
            known = self._known.get(name)
            if isinstance(known, SkippedFile):
                self.skipped.append(known)
            else:
                yield Document(pieces=self._read(name, path))
        if not self.sources:
            raise self._nothing()

    def _read(self, name: str, path: Path) -> Iterator[str]:
        digest, has_text = SourceDigest(), False
        try:
            for piece in self._pieces(path, digest):
                has_text = has_text or bool(piece)
                yield piece
        except UnreadableDocumentError as error:
            self._known[name] = skipped = SkippedFile(name=name, reason=str(error))
            self.skipped.append(skipped)
            raise
        source = digest.source(name)
        if self._known.setdefault(name, source) != source:
            raise UserError(
                f"{path} changed while it was being read: prepare the corpus again when the file "
                "is complete"
            )
        if has_text:
            self.sources.append(source)

    def _pieces(self, path: Path, digest: SourceDigest) -> Iterable[str]:
        """The text of a file; its bytes go to the digest."""
        return read_text(path, digest.update)

    def _nothing(self) -> UserError:
        if not self.skipped:
            return UserError(f"{self._path} is empty: name a file or folder that holds text")
        first = self.skipped[0].reason
        if not self._is_folder:
            return UserError(first)
        return UserError(
            f"none of the {len(self.files)} files in {self._path} is text; the first: {first}"
        )


def find_files(folder: Path, pattern: str | None = None) -> list[Path]:
    """The files of a folder and its sub-folders in the order of their names, hidden ones left out.

    Raises:
        UserError: for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        found += [
            path
            for path in paths
            if path.is_file() and (pattern is None or fnmatch.fnmatch(path.name, pattern))
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)
