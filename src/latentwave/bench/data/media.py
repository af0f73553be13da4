"""Corpora of one document per file: recordings, pieces of music."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.digests import SourceDigest
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.places import ARCHIVES, first_names
from latentwave.bench.data.text import files as text_files
from latentwave.errors import UserError

CHUNK_BYTES = 1 << 20
NUM_LOOKED_AT = 64


class UnusableFileError(Exception):
    """Why a file cannot be used, in words that follow its name."""


class MediaCodec(Codec):
    """A codec whose tokens are heard, not read.

    Attributes:
        tokens_per_second: of the sound; None where that depends on the tokens.
        end_token: that a document ends with, if one does.
    """

    tokens_per_second: int | None = None
    end_token: int | None = None

    @abc.abstractmethod
    def begin(self) -> NDArray[Any]:
        """The tokens that generation starts from where there is no prompt: at least one."""

    @abc.abstractmethod
    def seconds(self, tokens: NDArray[Any]) -> float:
        """How long the tokens sound."""


class MediaFiles(Corpus):
    """Files with one document each; those that cannot be used are counted and passed over.

    Args:
        root: the folder, or the one file, that was asked for.
        files: by name, in the order of their documents; one that is missing counts as a file that
            cannot be used.
        splits: the split of every name; None: the store is cut by shares of its tokens.
    """

    def __init__(
        self, root: Path, files: Mapping[str, Path], splits: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.root = root
        self.files = {name: path for name, path in files.items() if path.is_file()}
        self._missing = [
            SkippedFile(name=name, reason=f"{path} is missing")
            for name, path in files.items()
            if name not in self.files
        ]
        self._splits = splits

    def documents(self) -> Iterator[Document]:
        """One per file, those of one split before those of the next.

        Raises:
            UserError: if no file can be used.
        """
        self.sources, self.skipped = [], list(self._missing)
        splits = self._splits
        for name in self.names:
            yield from self._documents_of(name, None if splits is None else splits[name])
        if not self.sources:
            first = self.skipped[0].reason if self.skipped else "there is none"
            num_files = len(self.files) + len(self._missing)
            raise UserError(
                first
                if num_files == 1
                else f"none of the {num_files} files in {self.root} can be used; the first: {first}"
            )

    @property
    def names(self) -> list[str]:
        """The names of the files in the order of their documents."""
        splits = self._splits
        if splits is None:
            return list(self.files)
        return sorted(self.files, key=lambda name: SPLITS.index(splits[name]))

    @abc.abstractmethod
    def _pieces(self, name: str, path: Path) -> Iterator[Any]:
        """Read a file.

        Raises:
            UnusableFileError: if it cannot be used.
        """

    def _documents_of(self, name: str, split: str | None) -> Iterator[Document]:
        yield Document(pieces=self._read(name), split=split)

    def _read(self, name: str) -> Iterator[Any]:
        path = self.files[name]
        digest = SourceDigest()
        try:
            yield from self._pieces(name, path)
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except (UnusableFileError, OSError) as error:
            words = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else error
            self.skipped.append(SkippedFile(name=name, reason=f"{path} {words}"))
            raise UnreadableDocumentError(f"{path} {words}") from error
        self.sources.append(digest.source(name))


def find_files(root: Path, suffixes: Collection[str], what: str) -> dict[str, Path]:
    """The files of some kinds, by their names relative to the folder.

    Files and folders whose name starts with a dot are left out.

    Args:
        root: a folder, or one file, which is taken whatever its suffix.
        suffixes: in lower case, with the dot.
        what: is looked for, for errors.

    Raises:
        UserError: if there is none.
    """
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise UserError(f"there is no file or folder {root}: check the path")
    paths = [path for path in text_files.find_files(root) if path.suffix.lower() in suffixes]
    if not paths:
        raise UserError(
            f"the folder {root} holds no {what} (files named {', '.join(sorted(suffixes))})"
        )
    return {path.relative_to(root).as_posix(): path for path in paths}


def is_mostly(path: Path, suffixes: Collection[str]) -> bool:
    """Whether a file has one of the suffixes, or most files of a folder or archive have.

    Of an archive the first files are looked at.
    """
    paths = text_files.find_files(path) if path.is_dir() else [path]
    if path.is_file() and path.name.lower().endswith(ARCHIVES):
        paths = [Path(name) for name in first_names(path, NUM_LOOKED_AT)]
    return 2 * sum(file.suffix.lower() in suffixes for file in paths) > len(paths)
