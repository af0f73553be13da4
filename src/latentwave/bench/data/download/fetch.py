"""From a name of the table catalogue.yaml to unpacked, checked files."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pooch
import yaml
from pydantic.dataclasses import dataclass

from latentwave.bench.data.download.archives import unpack
from latentwave.bench.data.download.transfer import transfer
from latentwave.bench.data.folders import cache_folder, whole_file, whole_folder
from latentwave.bench.data.json_files import read_json, validated
from latentwave.errors import UserError

CONTENT = "content"
RECORDED = "checksums.json"
OnBytes = Callable[[str, int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a data set."""

    urls: tuple[str, ...]  # where it lies, the publisher's address first
    # "sha256:…" or "md5:…" as published, or as several independent projects pin it; None where
    # none is known: the one of the first transfer is then kept and demanded.
    checksum: str | None = None
    num_bytes: int | None = None  # which is demanded; None where not known
    unpack: bool = True  # whether it is an archive to unpack

    @property
    def name(self) -> str:
        """The file's name, the last part of its address."""
        return self.urls[0].partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Download:
    """One data set."""

    name: str  # as on the command line
    about: str
    licence: str  # as its publisher states it
    files: tuple[RemoteFile, ...]
    inner: str = ""  # what to prepare, below the folder of the unpacked files
    note: str = ""  # what is left to do by hand, if anything


_TABLE = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
CATALOGUE: dict[str, Download] = {
    name: validated({"name": name, **values}, Download)
    for name, values in yaml.safe_load(_TABLE).items()
}


def downloaded(name: str) -> Path | None:
    """What `prepare` reads of a data set that is here already, None if it is not."""
    content = _home(name) / CONTENT
    return content / CATALOGUE[name].inner if content.is_dir() else None


def require(name: str) -> Path:
    """What `prepare` reads of a data set that must be here; else a UserError that says how."""
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
    on_bytes: OnBytes | None = None,
) -> Path:
    """Download a data set, check it, and unpack it; do nothing if that was done before.

    Files go to `downloads/NAME` in the cache folder. A transfer that breaks off is continued, by
    the next call if need be. A file that lies there already, put there by hand for instance, is
    checked and taken; one with another checksum stays until the right one has arrived.

    Args:
        name: of the catalogue.
        mirror: a folder on the web that holds the files under their names; tried first.
        offline: touch no network, as with LATENTWAVE_OFFLINE=1 in the environment.
        on_bytes: is called with the file's name, bytes so far, and its size, None if not told.

    Returns:
        What to prepare: a file or folder; a UserError says what else to do.
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
            if not (partial / download.inner).exists():
                inside = sorted(path.name for path in partial.iterdir())
                raise UserError(
                    f"the archive of {name} does not hold {download.inner!r}, but "
                    f"{', '.join(inside[:5])}: is it another one?"
                )
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from error
    return home / CONTENT / download.inner


def _home(name: str) -> Path:
    return cache_folder() / "downloads" / name


def _fetch_file(
    home: Path, file: RemoteFile, mirror: str | None, offline: bool, on_bytes: OnBytes | None
) -> Path:
    path = home / file.name
    recorded = _recorded(home)
    checksum = file.checksum or recorded.get(file.name)
    size = f"{file.num_bytes:,} bytes, " if file.num_bytes else ""
    about = size + (checksum or "no checksum is published")
    if path.is_file() and (checksum is None or _matches(path, checksum)):
        _record(home, file, path, recorded)
        return path
    if offline:
        if path.is_file():
            raise UserError(f"{path} is not what was published ({about})")
        raise UserError(
            f"offline: get {file.name} ({about}) from {file.urls[0]} on another machine, put it "
            f"into {home}, and run the same command again"
        )
    failures = []
    part = home / f"{file.name}.part"
    urls = [*([f"{mirror.rstrip('/')}/{file.name}"] if mirror else []), *file.urls]
    # What is continued may be another file by now: then the first address is asked again.
    for url in urls[:1] * part.exists() + urls:
        downloader = functools.partial(
            transfer,
            part=part,
            num_bytes=file.num_bytes,
            resume=checksum is not None,
            on_bytes=on_bytes and functools.partial(on_bytes, file.name),
        )
        try:
            pooch.retrieve(url, checksum, fname=file.name, path=home, downloader=downloader)
        except UserError as error:
            failures.append(str(error))
        except ValueError as error:  # pooch's word for a wrong checksum
            failures.append(f"{url}: not what was published ({' '.join(str(error).split())})")
        else:
            _record(home, file, path, recorded)
            return path
    raise UserError(
        f"{file.name} cannot be had: {'; '.join(failures)}. Try again later, name a --mirror, or "
        f"put the file ({about}) into {home} yourself"
    )


def _record(home: Path, file: RemoteFile, path: Path, recorded: dict[str, str]) -> None:
    """Keep the checksum of a file that has none published, and say so."""
    if file.checksum is not None or file.name in recorded:
        return
    own = f"sha256:{pooch.file_hash(str(path), 'sha256')}"
    text = json.dumps(recorded | {file.name: own}, indent=2)
    with whole_file(home / RECORDED) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    warnings.warn(
        f"no checksum is published for {file.name}; from now on {own} is demanded "
        f"({home / RECORDED})",
        stacklevel=4,
    )


def _recorded(home: Path) -> dict[str, str]:
    path = home / RECORDED
    remedy = "restore it, or delete it if the checksum of the next transfer may be trusted anew"
    return read_json(path, remedy, dict[str, str]) if path.exists() else {}


def _matches(path: Path, checksum: str) -> bool:
    kind, _, expected = checksum.partition(":")
    return bool(pooch.file_hash(str(path), kind) == expected)
