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

    They get the permissions of new files, never outside of the folder. A UserError refuses what is
    damaged, holds links or devices, or would become larger than the disk or honest data can be.
    """
    honest = max(SMALL_BYTES, MAX_RATIO * archive.stat().st_size)
    free = shutil.disk_usage(folder).free
    most = min(honest, free)
    why = "the disk has room for" if free < honest else "an archive of its size holds"
    num_bytes = num_members = 0

    def check(name: str, size: int, *, is_plain: bool) -> None:
        nonlocal num_bytes, num_members
        num_bytes, num_members, fault = num_bytes + size, num_members + 1, ""
        if not is_plain:
            fault = f"{name!r} in it is a link or device"
        elif num_members > MAX_MEMBERS:
            fault = f"it holds over {MAX_MEMBERS:,} files"
        elif num_bytes > most:
            fault = f"it would become {num_bytes:,} bytes or more, {why} at most {most:,}"
        if fault:
            raise UserError(f"{archive} is not unpacked: {fault}")

    def checked(info: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        check(info.name, info.size, is_plain=info.isreg() or info.isdir())
        return tarfile.data_filter(info.replace(mode=0o755 if info.isdir() else 0o644), path)

    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for each in zipped.infolist():
                    is_plain = (each.external_attr >> 28) in (0, 0o10, 0o04)
                    check(each.filename, each.file_size, is_plain=is_plain)
                # It leaves out ".." and what makes names absolute.
                zipped.extractall(folder)  # noqa: S202
        elif tarfile.is_tarfile(archive):
            # As a stream: a large archive is decompressed once.
            with tarfile.open(archive, "r|*") as packed:
                packed.extractall(str(folder), filter=checked)  # noqa: S202
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: it is not unpacked") from error
    except _DAMAGED as error:
        raise UserError(f"{archive} is damaged or refused: {error}") from error
