"""Unpacking zip and tar archives that others made."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

from latentwave.errors import UserError

# Text packs to a third, silence to a hundredth; a bomb to a thousandth and less.
MAX_RATIO = 200
MAX_MEMBERS = 1_000_000
SMALL_BYTES = 1 << 26
# A RuntimeError is an encrypted zip, or one packed by a method that Python does not know.
_DAMAGED: tuple[type[Exception], ...] = (zipfile.BadZipFile, tarfile.TarError, zlib.error)
_DAMAGED += (lzma.LZMAError, EOFError, RuntimeError)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2, xz) into a folder.

    Files and folders are unpacked, with the permissions of new files, never outside of the folder.

    Raises:
        UserError: for an archive that is damaged, holds links or devices, or would become larger
            than the disk or than honest data of that archive.
    """
    budget = _Budget(archive, folder)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    is_plain = (info.external_attr >> 28) in (0, 0o10, 0o04)
                    budget.spend(info.filename, info.file_size, is_plain=is_plain)
                # It leaves out ".." and what makes names absolute.
                zipped.extractall(folder)  # noqa: S202
        elif tarfile.is_tarfile(archive):

            def checked(info: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
                budget.spend(info.name, info.size, is_plain=info.isreg() or info.isdir())
                return tarfile.data_filter(
                    info.replace(mode=0o755 if info.isdir() else 0o644), path
                )

            # As a stream: a large archive is decompressed once.
            with tarfile.open(archive, "r|*") as packed:
                packed.extractall(str(folder), filter=checked)  # noqa: S202
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: it is not unpacked") from error
    except _DAMAGED as error:
        raise UserError(f"{archive} is damaged or refused: {error}") from error


class _Budget:
    """How much an archive may become."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self._archive = archive
        honest = max(SMALL_BYTES, MAX_RATIO * archive.stat().st_size)
        free = shutil.disk_usage(folder).free
        self._why = "the disk has room for" if free < honest else "an archive of its size holds"
        self._most = min(honest, free)
        self._num_bytes = self._num_members = 0

    def spend(self, name: str, num_bytes: int, *, is_plain: bool) -> None:
        self._num_bytes += num_bytes
        self._num_members += 1
        if not is_plain:
            raise UserError(f"{self._archive} is not unpacked: {name!r} in it is a link or device")
        if self._num_members > MAX_MEMBERS:
            raise UserError(f"{self._archive} is not unpacked: it holds over {MAX_MEMBERS:,} files")
        if self._num_bytes > self._most:
            raise UserError(
                f"{self._archive} is not unpacked: it would become {self._num_bytes:,} bytes or "
                f"more, {self._why} at most {self._most:,}"
            )
