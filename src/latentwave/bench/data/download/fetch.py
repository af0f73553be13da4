"""From a name to unpacked, checked files."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pooch

from latentwave.bench.data.download.archives import unpack
from latentwave.bench.data.download.catalogue import CATALOGUE, Download, RemoteFile
from latentwave.bench.data.download.transfer import Transfer
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.data.known import cache_folder
from latentwave.errors import UserError

CONTENT = "content"
RECORDED = "checksums.json"


def downloaded(name: str) -> Path | None:
    """What `prepare` reads of a data set that is here already, None if it is not."""
    content = _home(name) / CONTENT
    return content / CATALOGUE[name].inner if content.is_dir() else None


def require(name: str) -> Path:
    """What `prepare` reads of a data set that must be here.

    Raises:
        UserError: if it is not, with the command that gets it.
    """
    found = downloaded(name)
    if found is None:
        raise UserError(
            f"{name} is not on this machine: run `latentwave download {name}`, or name your own "
            "copy with the option path"
        )
    return found


def fetch(
    name: str,
    *,
    mirror: str | None = None,
    offline: bool = False,
    on_bytes: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Download a data set, check it, and unpack it; do nothing if that was done before.

    Files go to `downloads/NAME` in the cache folder. A transfer that breaks off is continued, by
    the next call if need be. A file that lies there already, put there by hand for instance, is
    checked and taken.

    Args:
        name: of the catalogue.
        mirror: a folder on the web that holds the files under their names; tried first.
        offline: touch no network, as with LATENTWAVE_OFFLINE=1 in the environment.
        on_bytes: is called with the file's name, bytes so far, and its size, None if not told.

    Returns:
        What to prepare: a file or folder.

    Raises:
        UserError: for an unknown name; if a file cannot be had, or is not what was published; for
            an archive that is refused; offline, which file must be put where.

    Warns:
        UserWarning: if no checksum is known for a file, so that the first one was kept.
    """
    if name not in CATALOGUE:
        raise UserError(f"there is no download {name!r}; known are: {', '.join(CATALOGUE)}")
    found = downloaded(name)
    if found is not None:
        return found
    download, home = CATALOGUE[name], _home(name)
    offline = offline or os.environ.get("LATENTWAVE_OFFLINE", "") not in ("", "0")
    pooch.get_logger().setLevel("ERROR")  # we speak ourselves
    try:
        home.mkdir(parents=True, exist_ok=True)
        files = [_fetch_file(home, file, mirror, offline, on_bytes) for file in download.files]
        with whole_folder(home / CONTENT) as partial:
            for file, remote in zip(files, download.files, strict=True):
                if remote.unpack:
                    unpack(file, partial)
                else:
                    (partial / file.name).hardlink_to(file)
            _check_inner(partial, download)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from error
    return home / CONTENT / download.inner


def _home(name: str) -> Path:
    return cache_folder() / "downloads" / name


def _fetch_file(
    home: Path,
    file: RemoteFile,
    mirror: str | None,
    offline: bool,
    on_bytes: Callable[[str, int, int | None], None] | None,
) -> Path:
    path = home / file.name
    checksum = file.checksum or _recorded(home).get(file.name)
    if path.is_file():
        if checksum is None or _matches(path, checksum):
            _record(home, file, path)
            return path
        if offline:
            raise UserError(f"{path} is not what was published: {_difference(path, checksum)}")
        path.unlink()  # damaged
    if offline:
        raise UserError(
            f"offline: get {file.name} ({_described(file, checksum)}) from {file.urls[0]} on "
            f"another machine, put it into {home}, and run the same command again"
        )
    urls = [f"{mirror.rstrip('/')}/{file.name}"] if mirror else []
    failures = []
    for url in (*urls, *file.urls):
        transfer = Transfer(
            home / f"{file.name}.part",
            None if on_bytes is None else lambda have, size: on_bytes(file.name, have, size),
        )
        try:
            pooch.retrieve(url, checksum, fname=file.name, path=home, downloader=transfer)
        except UserError as error:
            failures.append(str(error))
        except ValueError as error:  # pooch's word for a wrong checksum
            failures.append(f"{url}: not what was published ({' '.join(str(error).split())})")
        else:
            _record(home, file, path)
            return path
    raise UserError(
        f"{file.name} cannot be had: {'; '.join(failures)}. Try again later, name a --mirror, or "
        f"put the file ({_described(file, checksum)}) into {home} yourself"
    )


def _record(home: Path, file: RemoteFile, path: Path) -> None:
    """Keep the checksum of a file that has none published, and say so."""
    recorded = _recorded(home)
    if file.checksum is not None or file.name in recorded:
        return
    own = f"sha256:{_digest(path, 'sha256')}"
    (home / RECORDED).write_text(
        json.dumps(recorded | {file.name: own}, indent=2) + "\n", encoding="utf-8"
    )
    warnings.warn(
        f"no checksum is published for {file.name}; from now on {own} is demanded "
        f"({home / RECORDED})",
        stacklevel=4,
    )


def _recorded(home: Path) -> dict[str, str]:
    try:
        content = json.loads((home / RECORDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _matches(path: Path, checksum: str) -> bool:
    kind, _, expected = checksum.partition(":")
    return _digest(path, kind) == expected


def _difference(path: Path, checksum: str) -> str:
    kind, _, expected = checksum.partition(":")
    return f"its {kind} is {_digest(path, kind)}, not {expected}"


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _described(file: RemoteFile, checksum: str | None) -> str:
    parts = [f"{file.num_bytes:,} bytes"] if file.num_bytes else []
    return ", ".join([*parts, checksum or "no checksum is published"])


def _check_inner(content: Path, download: Download) -> None:
    if not (content / download.inner).exists():
        raise UserError(
            f"the archive of {download.name} does not hold {download.inner!r}, but "
            f"{', '.join(sorted(path.name for path in content.iterdir())[:5])}: is it another one?"
        )
