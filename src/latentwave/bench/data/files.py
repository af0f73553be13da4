"""The files of a corpus: found in folders, archives and downloads, and opened unpacked."""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import hashlib
import io
import itertools
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import Found, UnusableFileError
from latentwave.bench.data.download import require
from latentwave.bench.data.download.archives import unpack
from latentwave.bench.data.folders import cache_folder, whole_folder
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.splits import ABOUT, choose_splits
from latentwave.errors import UserError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
PACKED = (".gz", ".bz2", ".xz", ".zst")
DAMAGED_ARCHIVE = (EOFError, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error)
_NUM_LOOKED_AT = 64


def find_corpus(config: CorpusConfig, what: str = "files", *, split_by: str = "tokens") -> Found:
    """The files that a configuration names, with their splits.

    Args:
        config: of the corpus; its `pattern` chooses among the names of a folder's files.
        what: is looked for, for errors.
        split_by: how they are split where neither names nor the configuration say.

    Raises:
        UserError: if there is none, or splits are named by half.
    """
    suffixes = config.kind.suffixes or None
    found = find_files(corpus_root(config), suffixes, what, pattern=config.pattern)
    found.splits = choose_splits(
        found.files,
        config.split_by,
        default=split_by if len(found.files) > 1 else "tokens",
        validation=config.validation,
        test=config.test,
    )
    if found.splits is not None:
        for name in set(found.files) - set(found.splits):
            del found.files[name]
            found.left_out.append(SkippedFile(name=name, reason="called after no split"))
    return found


def find_files(
    root: Path, suffixes: Collection[str] | None, what: str, *, pattern: str | None = None
) -> Found:
    """The files of a folder and its sub-folders in the order of their names.

    Linked folders and files are read as if they lay there, each folder once.

    Args:
        root: a folder, or one file, which is taken whatever its name.
        suffixes: in lower case, with the dot, of the unpacked files; None takes all.
        what: is looked for, for errors.
        pattern: of the names, such as "*.py"; None takes all.

    Raises:
        UserError: if there is none.
    """
    if not root.exists():
        raise UserError(f"there is no file or folder {root}: check the path")
    if not root.is_dir():
        if not root.is_file():
            raise UserError(f"{root} is neither a file nor a folder: name one")
        return Found(root=root, files={root.name: root})
    found = Found(root=root, files={})
    for path, fault in _walk(root):
        name = path.relative_to(root).as_posix()
        if fault:
            found.skipped.append(SkippedFile(name=name, reason=f"{path} {fault}"))
        elif path.name.startswith("."):
            found.left_out.append(SkippedFile(name=name, reason="hidden"))
        elif (suffixes is not None and unpacked_suffix(name) not in suffixes) or (
            pattern is not None and not fnmatch.fnmatch(path.name, pattern)
        ):
            found.left_out.append(SkippedFile(name=name, reason="of another kind"))
        else:
            found.files[name] = path
    if not found.files:
        named = f" like {pattern!r}" if pattern else ""
        if suffixes:
            named += f" (files named {', '.join(sorted(suffixes))})"
        others = "".join(f"; {file.reason}" for file in found.skipped[:3])
        raise UserError(f"the folder {root} holds no {what}{named}{others}: name another one")
    found.files = dict(sorted(found.files.items(), key=lambda item: PurePosixPath(item[0]).parts))
    return found


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Files, hidden folders, and what cannot be read with the reason."""
    unreadable: list[OSError] = []
    seen = {root.resolve()}
    for parent, folders, names in os.walk(root, onerror=unreadable.append, followlinks=True):
        for name in sorted(folders):
            path = Path(parent, name)
            real = path.resolve()
            if name.startswith("."):
                yield path, ""
            elif real in seen:
                yield path, f"is a link to a folder that is read already, {real}"
            else:
                seen.add(real)
                continue
            folders.remove(name)
        folders.sort()
        for name in names:
            path = Path(parent, name)
            if path.is_file():
                yield path, ""
            else:
                yield path, "is a broken link" if path.is_symlink() else "is no regular file"
    for error in unreadable:
        yield Path(error.filename), f"cannot be read ({error.strerror})"


def unpacked_suffix(name: str) -> str:
    """The last suffix of a file's name in lower case, that of its packing left out.

    Example:
        >>> unpacked_suffix("a/Train.JSONL.gz"), unpacked_suffix("b.tar")
        ('.jsonl', '.tar')
    """
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in PACKED else path.suffix


def open_unpacked(path: Path) -> Any:
    """Open a file for reading; .gz, .bz2, .xz and .zst are unpacked on the way.

    Raises:
        UnusableFileError: if nothing is installed that unpacks it.
    """
    match path.suffix.lower():
        case ".gz":
            return gzip.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            try:
                import pyarrow  # type: ignore[import-untyped,unused-ignore]
            except ImportError as error:
                raise UnusableFileError(
                    "is packed by zstd: unpack it, or pip install 'latentwave[datasets]'"
                ) from error
            return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
        case _:
            return path.open("rb")


def corpus_root(config: CorpusConfig) -> Path:
    """The file or folder that a corpus is read from.

    An archive is unpacked once, into `unpacked` in the cache folder; an archive that has changed
    is unpacked again. Where no path is given it is what was downloaded.

    Raises:
        UserError: if there is none, or the archive is refused.
    """
    if config.path is None and config.kind.download is not None:
        return require(config.kind.download)
    path = Path(config.path or "").expanduser()
    if not path.is_file() or not path.name.lower().endswith(ARCHIVES):
        return path
    status = path.stat()
    identity = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cache_folder() / "unpacked" / f"{path.name}-{key}"
    if not folder.is_dir():
        try:
            with whole_folder(folder) as partial:
                unpack(path, partial)
        except OSError as error:
            raise UserError(f"cannot unpack {path}: {error.strerror or error}") from error
    inside = list(folder.iterdir())
    # Most archives hold one folder that holds the rest.
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def names_within(path: Path) -> list[str]:
    """The names of a file, or of the files of a folder or archive, to guess from what it is.

    Hidden files and those about the others, such as a README, are left out. Of an archive the
    first are taken.
    """
    if path.is_dir():
        names = [file.name for file, _ in _walk(path)]
    else:
        is_archive = path.name.lower().endswith(ARCHIVES)
        names = _first_names(path) if is_archive else [path.name]
    bare = [PurePosixPath(name).name for name in names]
    return [name for name in bare if not name.lower().startswith((".", *ABOUT))]


def _first_names(archive: Path) -> list[str]:
    """The names of the first files of an archive; none if it is damaged."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                infos = (info for info in opened.infolist() if not info.is_dir())
                return [info.filename for info in itertools.islice(infos, _NUM_LOOKED_AT)]
        with tarfile.open(archive, "r|*") as stream:
            members = (info for info in stream if info.isreg())
            return [info.name for info in itertools.islice(members, _NUM_LOOKED_AT)]
    except (OSError, *DAMAGED_ARCHIVE):
        return []
