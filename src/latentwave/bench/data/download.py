"""Downloads the published data sets of catalogue.yaml, checks them and unpacks them."""

import functools
import shutil
from pathlib import Path
from typing import Any

import pooch
import yaml
from filelock import FileLock
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from pydantic.dataclasses import dataclass

from latentwave.bench.data.folders import cache_folder, unpack, whole_folder
from latentwave.bench.data.json_files import validated
from latentwave.errors import UserError

_CONTENT = "content"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a data set."""

    urls: tuple[str, ...]  # the publisher's first
    # "sha256:…" or "md5:…" as published, or as several independent projects pin it; None if
    # unknown.
    checksum: str | None = None
    unpack: bool = True  # whether it is an archive to unpack

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.urls[0].partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Download:
    """One data set."""

    name: str  # as on the command line
    about: str
    licence: str  # as its publisher states it
    files: tuple[RemoteFile, ...]
    inner: str = ""  # the path to prepare, within the unpacked files
    note: str = ""  # what the user still has to do


_TABLE = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
CATALOGUE: dict[str, Download] = {
    name: validated({"name": name, **values}, Download)
    for name, values in yaml.safe_load(_TABLE).items()
}


def downloaded(name: str) -> Path | None:
    """The path that `prepare` reads, or None if the data set is not on this machine."""
    content = _home(name) / _CONTENT
    return content / CATALOGUE[name].inner if content.is_dir() else None


def require(name: str) -> Path:
    """The path that `prepare` reads; a UserError if the data set is not on this machine."""
    found = downloaded(name)
    if found is None:
        raise UserError(
            f"{name} is not on this machine: run `latentwave download {name}`, or name your own "
            "copy with the option path"
        )
    return found


def fetch(name: str, *, mirror: str | None = None) -> Path:
    """Download, check and unpack a data set of the catalogue, once; returns the path to prepare.

    Files go to `downloads/NAME` in the cache folder. A `mirror`, a web folder with files of the
    same names, is tried first. An interrupted transfer is continued, by the next call if need be.
    A file that is already there is checked and used; one with another checksum stays until the
    right one has arrived. A UserError says what else to do.
    """
    if name not in CATALOGUE:
        raise UserError(f"there is no download {name!r}; known are: {', '.join(CATALOGUE)}")
    found = downloaded(name)
    if found is not None:
        return found
    download, home = CATALOGUE[name], _home(name)
    pooch.get_logger().setLevel("ERROR")
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Otherwise two processes would continue the same transfer.
        with FileLock(home.with_name(f".{name}.lock")):
            if downloaded(name) is None:
                _fetch_all(download, home, mirror)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from error
    return home / _CONTENT / download.inner


def _home(name: str) -> Path:
    return cache_folder() / "downloads" / name


def _fetch_all(download: Download, home: Path, mirror: str | None) -> None:
    for file in download.files:
        _fetch_file(home, file, mirror, download.note)
    with whole_folder(home / _CONTENT) as partial:
        for file in download.files:
            source, target = home / file.name, partial / file.name
            if file.unpack:
                unpack(source, partial)
                continue
            try:
                target.hardlink_to(source)
            except OSError:  # not every file system has hard links
                shutil.copy(source, target)
        if not (partial / download.inner).exists():
            inside = sorted(path.name for path in partial.iterdir())
            raise UserError(
                f"the archive of {download.name} does not hold {download.inner!r}, but "
                f"{', '.join(inside[:5])}: is it another one?"
            )


def _fetch_file(home: Path, file: RemoteFile, mirror: str | None, note: str) -> None:
    """Download a file into a folder, unless it is there already."""
    failures, part = [], home / f"{file.name}.part"
    if file.checksum is None:  # nothing would tell whether it is still the same file
        part.unlink(missing_ok=True)
    urls = [*([f"{mirror.rstrip('/')}/{file.name}"] if mirror else []), *file.urls]
    downloader = functools.partial(_transfer, part)
    # The remote file may have changed since the part was written: then the first URL is tried
    # again, from the start.
    for url in urls[:1] * part.exists() + urls:
        try:
            pooch.retrieve(url, file.checksum, fname=file.name, path=home, downloader=downloader)
            return
        except Exception as error:  # of many kinds, from huggingface_hub
            what = " ".join(str(error).split())
            if isinstance(error, ValueError):  # what pooch raises for a wrong checksum
                what = f"not what was published ({what})"
            failures.append(f"{url}: {what}")
    kept = f" ({part.stat().st_size:,} bytes are kept)" if part.exists() else ""
    raise UserError(
        f"{file.name} cannot be downloaded: {'; '.join(failures)}. Try again later{kept}, name a "
        f"--mirror, or put the file ({file.checksum or 'of no known checksum'}) into {home} "
        f"yourself{'; ' * bool(note)}{note}"
    )


def _transfer(part: Path, url: str, output_file: Any, _: Any = None) -> None:
    """A downloader for pooch that continues the file `part`, which outlives a failure."""
    with part.open("ab") as file:
        try:
            http_get(url, file, resume_size=file.tell())
        except HfHubHTTPError as error:
            if error.response.status_code == 416:  # complete, or of a file that has changed
                part.unlink()
            raise
    shutil.move(part, output_file)
