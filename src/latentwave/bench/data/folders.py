"""Folders and files that appear whole or not at all, and safe unpacking of archives."""

import contextlib
import glob
import lzma
import os
import secrets
import shutil
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from latentwave.errors import UserError

PARTIAL = ".partial"
ABANDONED_SECONDS = 24 * 3600.0
# What reading a damaged archive or compressed file raises.
DAMAGED = (EOFError, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error)


def cache_folder() -> Path:
    """`$LATENTWAVE_HOME`, or else `latentwave` in the user's cache folder."""
    if home := os.environ.get("LATENTWAVE_HOME"):
        return Path(home).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentwave"
    except RuntimeError as error:
        raise UserError("there is no home folder: set LATENTWAVE_HOME to a folder") from error


@contextlib.contextmanager
def whole_folder(folder: Path, final: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `folder` once all of it is on the disk.

    It is removed if the block raises. Leftovers of a killed process are removed by a later call,
    after a day. If another process has filled `folder` meanwhile, that one stays. If the name
    depends on the content, `final` gives it, beside `folder`, at the end.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    partial = parent / f".{folder.name}.{secrets.token_hex(8)}.partial"
    partial.mkdir()
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            _force(path)
        target = folder if final is None else final()
        with contextlib.suppress(OSError):
            target.rmdir()  # refused unless empty
        try:
            partial.rename(target)
        except OSError:
            if not (target.is_dir() and any(target.iterdir())):
                raise
            shutil.rmtree(partial)
        _force(parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _force(path: Path) -> None:
    # A link has no content, and may be broken; only POSIX can open folders.
    if path.is_symlink() or (path.is_dir() and os.name != "posix"):
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    oldest = time.time() - ABANDONED_SECONDS
    for partial in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        with contextlib.suppress(OSError):  # another process may be removing it
            if all(path.stat().st_mtime < oldest for path in (partial, *partial.iterdir())):
                shutil.rmtree(partial)


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: readers, and crashes, leave the old content or the new."""
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2, xz) into a folder, never outside it.

    Raises:
        UserError: if the archive is damaged, holds devices or links that lead out of the folder,
            or needs more room than the disk has.
    """

    def data_that_fits(member: tarfile.TarInfo, path: Any) -> tarfile.TarInfo | None:
        _check_room(archive, member.size, folder)
        return tarfile.data_filter(member, path)

    try:
        if tarfile.is_tarfile(archive):  # first, since a tar that ends in a zip passes for a zip
            # As a stream, so that a large archive is decompressed once.
            with tarfile.open(archive, "r|*") as packed:
                packed.extractall(folder, filter=data_that_fits)  # noqa: S202
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                # Files are unpacked up to the sizes that the archive states.
                _check_room(archive, sum(file.file_size for file in zipped.infolist()), folder)
                # It drops ".." and absolute paths from names.
                zipped.extractall(folder)  # noqa: S202
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {error.filename} twice: it is not unpacked") from error
    # RuntimeError: an encrypted zip, or one with a compression that Python does not know.
    except (RuntimeError, *DAMAGED) as error:
        raise UserError(f"{archive} is damaged or refused: {error}") from error


def _check_room(archive: Path, num_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise UserError(
            f"{archive} needs {num_bytes:,} bytes more to be unpacked, but only {free:,} are free "
            f"in {folder.parent}: make room, or set LATENTWAVE_HOME to a folder on another disk"
        )
