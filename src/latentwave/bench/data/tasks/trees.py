"""The files of a folder or of a zip archive, read where they are."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from latentwave.bench.data.metadata import Source
from latentwave.errors import UserError

MAX_FILE_BYTES = 1 << 30


class FileTree:
    """Files by their names, nothing unpacked.

    Names are relative, with "/", in order. What starts with a dot, and the "__MACOSX" folders
    of archives, are left out.

    Args:
        path: a folder or a zip archive.

    Raises:
        UserError: if nothing is there, or it is neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._read: dict[str, Source] = {}
        if path.is_dir():
            found = [
                Path(parent, name).relative_to(path).as_posix()
                for parent, _, names in os.walk(path)
                for name in names
            ]
        elif path.is_file():
            try:
                self._archive = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, OSError) as error:
                raise UserError(
                    f"{path} is neither a folder nor a whole zip archive ({error})"
                ) from error
            found = [entry.filename for entry in self._archive.infolist() if not entry.is_dir()]
        else:
            raise UserError(f"there is no folder or zip archive {path}: check the path")
        self.names = sorted(name for name in found if not _is_hidden(name))

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            UserError: if it cannot be read, is damaged, or is larger than a gigabyte.
        """
        try:
            if self._archive is None:
                file = self.path / name
                if file.stat().st_size > MAX_FILE_BYTES:
                    raise UserError(f"{file} has more than {MAX_FILE_BYTES:,} bytes")
                content = file.read_bytes()
                self._read[name] = Source(
                    name=name,
                    num_bytes=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                )
                return content
            with self._archive.open(name) as member:
                # What the archive says of a member's size need not be true.
                content = member.read(MAX_FILE_BYTES + 1)
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            raise UserError(f"cannot read {name} in {self.path}: {error}") from error
        if len(content) > MAX_FILE_BYTES:
            raise UserError(f"{name} in {self.path} has more than {MAX_FILE_BYTES:,} bytes")
        return content

    def files(self, names: Iterable[str]) -> dict[str, Path]:
        """Where these files lie, by name; an archive stands for all its members."""
        if self._archive is not None:
            return {self.path.name: self.path}
        return {name: self.path / name for name in names}

    @property
    def sources(self) -> list[Source]:
        """What was read so far; an archive counts as a whole."""
        if self._archive is not None:
            return [file_source(self.path)]
        return [self._read[name] for name in sorted(self._read)]


def file_source(path: Path) -> Source:
    """One file and the digest of its content.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Source(name=path.name, num_bytes=path.stat().st_size, sha256=digest)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") for part in parts) or "__MACOSX" in parts
