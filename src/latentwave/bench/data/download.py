"""Published data sets: from a name of catalogue.yaml to checked, unpacked files."""

from __future__ import annotations

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

    urls: tuple[str, ...]  # where it lies, the publisher's address first
    # "sha256:…" or "md5:…" as published, or as several independent projects pin it; None where
    # none is known.
    checksum: str | None = None
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
    content = _home(name) / _CONTENT
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


def fetch(name: str, *, mirror: str | None = None) -> Path:
    """Download a data set of the catalogue, check it, and unpack it, once; returns what to prepare.

    Files go to `downloads/NAME` in the cache folder. A `mirror`, a folder on the web that holds
    them under their names, is tried first. A transfer that breaks off is continued, by the next
    call if need be. A file that lies there already, put there by hand for instance, is checked and
    taken; one with another checksum stays until the right one has arrived. A UserError says what
    else to do.
    """
    if name not in CATALOGUE:
        raise UserError(f"there is no download {name!r}; known are: {', '.join(CATALOGUE)}")
    found = downloaded(name)
    if found is not None:
        return found
    download, home = CATALOGUE[name], _home(name)
    pooch.get_logger().setLevel("ERROR")  # we speak ourselves
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Two processes would continue the same transfer.
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
            if file.unpack:
                unpack(home / file.name, partial)
            else:
                (partial / file.name).hardlink_to(home / file.name)
        if not (partial / download.inner).exists():
            inside = sorted(path.name for path in partial.iterdir())
            raise UserError(
                f"the archive of {download.name} does not hold {download.inner!r}, but "
                f"{', '.join(inside[:5])}: is it another one?"
            )


def _fetch_file(home: Path, file: RemoteFile, mirror: str | None, note: str) -> None:
    """Bring a file into its folder, unless it is there."""
    failures, part = [], home / f"{file.name}.part"
    if file.checksum is None:  # nothing would tell whether what is continued is the same file
        part.unlink(missing_ok=True)
    urls = [*([f"{mirror.rstrip('/')}/{file.name}"] if mirror else []), *file.urls]
    downloader = functools.partial(_transfer, part)
    # What is continued may be another file by now: then the first address is asked again.
    for url in urls[:1] * part.exists() + urls:
        try:
            pooch.retrieve(url, file.checksum, fname=file.name, path=home, downloader=downloader)
        except ValueError as error:  # pooch's word for a wrong checksum
            failures.append(f"{url}: not what was published ({' '.join(str(error).split())})")
        except Exception as error:  # of whatever huggingface_hub transfers by
            failures.append(f"{url}: {' '.join(str(error).split())}")
        else:
            return
    kept = f" ({part.stat().st_size:,} bytes are kept)" if part.exists() else ""
    raise UserError(
        f"{file.name} cannot be had: {'; '.join(failures)}. Try again later{kept}, name a "
        f"--mirror, or put the file ({file.checksum or 'of no known checksum'}) into {home} "
        f"yourself{'; ' * bool(note)}{note}"
    )


def _transfer(part: Path, url: str, output_file: Any, _: Any = None) -> None:
    """A downloader for pooch that continues what lies in `part`, which outlives a failure."""
    with part.open("ab") as file:
        try:
            http_get(url, file, resume_size=file.tell())
        except HfHubHTTPError as error:
            if error.response.status_code == 416:  # all is here, or another file than before
                part.unlink()
            raise
    shutil.move(part, output_file)
