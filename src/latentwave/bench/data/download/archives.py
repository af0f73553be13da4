"""Unpacking zip and tar archives that others made."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from latentwave.errors import UserError

_CHUNK_BYTES = 1 << 20
# Text packs to a third, silence to a hundredth; a bomb to a thousandth and less.
MAX_RATIO = 200
MAX_MEMBERS = 1_000_000
_SMALL_BYTES = 1 << 26
# A RuntimeError is an encrypted zip, or one packed by a method that Python does not know.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2, xz) into a folder.

    Only regular files and folders are unpacked, with the permissions of new files. Everything is
    refused that could write outside of the folder (absolute names, "..", links), that is no file
    (devices), that stands twice, or that is larger than honest data of that archive can be.

    Args:
        archive: the file.
        folder: exists.

    Raises:
        UserError: for an archive that is refused, damaged, or larger than the disk.
    """
    budget = _Budget(archive, folder)
    try:
        if zipfile.is_zipfile(archive):
            members = _zip_members(archive, budget)
        elif tarfile.is_tarfile(archive):
            members = _tar_members(archive, budget)
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
        for name, source in members:
            target = folder / _safe(archive, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    budget.spend(len(chunk))
                    file.write(chunk)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: it is not unpacked") from error
    except _DAMAGED as error:
        raise UserError(f"{archive} is damaged: {error}") from error


def _zip_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        budget.declare(len(infos), sum(info.file_size for info in infos))
        for info in infos:
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise _refused(archive, info.filename, "a link or device")
            _safe(archive, info.filename)
            if not info.is_dir():
                with opened.open(info) as source:
                    yield info.filename, source


def _tar_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, IO[bytes]]]:
    # As a stream: a large archive is decompressed once.
    with tarfile.open(archive, "r|*") as opened:
        for number, info in enumerate(opened, 1):
            budget.declare(number, info.size)
            if not (info.isreg() or info.isdir()):
                raise _refused(archive, info.name, "a link or device")
            _safe(archive, info.name)
            if info.isreg():
                source = opened.extractfile(info)
                if source is not None:
                    yield info.name, source


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or (path.parts and ":" in path.parts[0])
    ):
        raise _refused(archive, name, "a name that leads outside")
    return path


def _refused(archive: Path, name: str, what: str) -> UserError:
    return UserError(f"{archive} is not unpacked: its member {name!r} is {what}")


class _Budget:
    """How much an archive may become."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self._archive = archive
        honest = max(_SMALL_BYTES, MAX_RATIO * archive.stat().st_size)
        self._free = shutil.disk_usage(folder).free
        self._left = self._most = min(honest, self._free)

    def declare(self, num_members: int, num_bytes: int) -> None:
        if num_members > MAX_MEMBERS:
            raise UserError(f"{self._archive} is not unpacked: it holds {num_members:,} files")
        if num_bytes > self._left:
            raise self._too_large(num_bytes)

    def spend(self, num_bytes: int) -> None:
        self._left -= num_bytes
        if self._left < 0:
            raise self._too_large(self._most - self._left)

    def _too_large(self, num_bytes: int) -> UserError:
        why = "there is room for" if self._most == self._free else "an honest archive of its size"
        return UserError(
            f"{self._archive} is not unpacked: it would become {num_bytes:,} bytes or more, "
            f"{why}{'' if self._most == self._free else ' becomes'} at most {self._most:,}"
        )
