"""What can be downloaded, from where, and what it must look like: the table catalogue.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        urls: where it lies, the publisher's address first.
        checksum: "sha256:…" or "md5:…" as published, or as several independent projects pin it;
            None where none is known: the one of the first transfer is then kept and demanded.
        num_bytes: its size, which is demanded; None where not known.
        unpack: whether it is an archive to unpack.
    """

    urls: tuple[str, ...]
    checksum: str | None = None
    num_bytes: int | None = None
    unpack: bool = True

    @property
    def name(self) -> str:
        """The file's name, the last part of its address."""
        return self.urls[0].partition("?")[0].rpartition("/")[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download:
    """One data set.

    Attributes:
        name: as on the command line.
        about: one line.
        licence: as its publisher states it.
        files: that belong to it.
        inner: what to prepare, below the folder of the unpacked files.
        note: what is left to do by hand, if anything.
    """

    name: str
    about: str
    licence: str
    files: tuple[RemoteFile, ...]
    inner: str = ""
    note: str = ""


def _read() -> dict[str, Download]:
    content = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return {
        name: Download(
            name=name,
            files=tuple(
                RemoteFile(**(file | {"urls": tuple(file["urls"])})) for file in values.pop("files")
            ),
            **values,
        )
        for name, values in yaml.safe_load(content).items()
    }


CATALOGUE = _read()
