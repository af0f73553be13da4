"""Finds the files of a corpus in folders, archives and downloads, and opens them unpacked."""

import bz2
import contextlib
import csv
import fnmatch
import gzip
import hashlib
import io
import lzma
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.corpus import Found
from latentwave.bench.data.download import require
from latentwave.bench.data.folders import DAMAGED, cache_folder, unpack, whole_folder
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.splits import choose_splits, is_about_others
from latentwave.errors import UserError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
PACKED = (".gz", ".bz2", ".xz", ".zst")
_CACHES = "cache-*.arrow"  # the library datasets puts its results beside a saved data set

_LFS, _LONGEST_POINTER = b"version https://git-lfs.github.com/spec/", 1024
_POINTER = "is a pointer of Git LFS in place of its content: run `git lfs pull` there"


def find_corpus(config: CorpusConfig, what: str = "files", *, split_by: str = "tokens") -> Found:
    """The files of a configured corpus with their splits; a UserError if there are none.

    `split_by` is the default if neither the names nor the configuration tell.
    """
    found = find_files(corpus_root(config), config.kind.suffixes, what, pattern=config.pattern)
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
            found.left_out.append(SkippedFile(name=name, reason="not named after a split"))
    return found


def find_files(
    root: Path, suffixes: Collection[str], what: str, *, pattern: str | None = None
) -> Found:
    """The files of a folder and its sub-folders, in the order of their names.

    Links are followed, but each folder is read once. A `root` that is a file is taken whatever its
    name. In a folder, files need one of the `suffixes` (in lower case, once unpacked; none for any
    file) and a name that matches the `pattern`. A UserError says where `what` was not found.
    """
    if not root.is_dir():
        if not root.is_file() or _is_pointer(root):
            fault = _POINTER if root.is_file() else "is neither a file nor a folder: name one"
            raise UserError(f"{root} {fault}")
        return Found(root=root, files={root.name: root})
    found = Found(root=root, files={})
    for path, fault in _walk(root):
        name = path.relative_to(root).as_posix()
        if fault:
            found.skipped.append(SkippedFile(name=name, reason=f"{path} {fault}"))
        elif path.name.startswith("."):
            found.left_out.append(SkippedFile(name=name, reason="hidden"))
        elif fnmatch.fnmatch(path.name, _CACHES):
            found.left_out.append(SkippedFile(name=name, reason="a cache of the library datasets"))
        elif (suffixes and unpacked_suffix(name) not in suffixes) or (
            pattern is not None and not fnmatch.fnmatch(path.name, pattern)
        ):
            found.left_out.append(SkippedFile(name=name, reason="of another kind"))
        elif _is_pointer(path):
            found.skipped.append(SkippedFile(name=name, reason=f"{path} {_POINTER}"))
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
    """Files and hidden folders; a path that cannot be read comes with the reason."""
    unreadable: list[OSError] = []
    seen = {root.resolve()}
    for parent, folders, names in os.walk(root, onerror=unreadable.append, followlinks=True):
        for name in sorted(folders):
            path = Path(parent, name)
            real = path.resolve()
            if name.startswith("."):
                yield path, ""
            elif real in seen:
                yield path, f"is a link to a folder that has been read already, {real}"
            else:
                seen.add(real)
                continue
            folders.remove(name)
        folders.sort()
        for path in (Path(parent, name) for name in names):
            fault = "is a broken link" if path.is_symlink() else "is not a regular file"
            yield path, "" if path.is_file() else fault
    for error in unreadable:
        yield Path(error.filename), f"cannot be read ({error.strerror})"


def _is_pointer(path: Path) -> bool:
    """Whether a file only says where Git LFS keeps its content."""
    try:
        return path.stat().st_size <= _LONGEST_POINTER and path.read_bytes().startswith(_LFS)
    except OSError:
        return False  # reported when the corpus is read


def unpacked_suffix(name: str) -> str:
    """The suffix that a file's name has without that of its compression, in lower case."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in PACKED else path.suffix


def open_unpacked(path: Path) -> Any:
    """Open a file for reading; .gz, .bz2, .xz and .zst are decompressed."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        pyarrow = optional_package("pyarrow", "datasets", f"{path}, compressed by zstd,")
        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(suffix, open)(path, "rb")


def read_csv(path: Path, columns: list[str], *, heading: bool = True) -> Iterator[dict[str, str]]:
    """The rows of a comma-separated table in UTF-8, compressed or not, by their columns.

    The heading must name `columns`; without a heading they are all the columns, in order. A
    UserError tells if the table is missing, empty or damaged, or if a column or cell is missing.
    """
    is_empty = True
    with reading(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        head = next(rows, columns) if heading else columns
        missing = [column for column in columns if column not in head]
        if missing:
            raise UserError(f"{path} has no column {missing[0]!r}, only {', '.join(head)[:80]!r}")
        for row in filter(None, rows):
            if len(row) != len(head):
                raise UserError(
                    f"{path}, line {rows.line_num}: expected {len(head)} cells, got {len(row)}"
                )
            is_empty = False
            yield dict(zip(head, row, strict=True))
    if is_empty:
        raise UserError(f"the table {path} is empty")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open a file, decompressed, that must be readable to its end; a UserError if it is not."""
    try:
        with open_unpacked(path) as file:
            yield file
    except UserError:
        raise
    except (OSError, ValueError, csv.Error, *DAMAGED) as error:
        raise UserError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def corpus_root(config: CorpusConfig) -> Path:
    """The file or folder that a corpus is read from: its unpacked path, or the download."""
    if config.path is None and config.kind.download is not None:
        return require(config.kind.download)
    path = Path(config.path or "").expanduser()
    if not path.exists():
        raise UserError(f"there is no file or folder {path}: check the path")
    return _unpacked(path)


def _unpacked(path: Path) -> Path:
    """The path itself, or the cached folder of an archive, unpacked again only if it changes."""
    if not path.is_file() or not path.name.lower().endswith(ARCHIVES) or _is_pointer(path):
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
    # Most archives hold a single folder.
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def names_within(path: Path) -> list[str]:
    """The name of a file, or those in a folder or archive, without READMEs and the like."""
    root = _unpacked(path)
    names = [file.name for file, _ in _walk(root)] if root.is_dir() else [path.name]
    return [name for name in names if not (name.startswith(".") or is_about_others(name))]
