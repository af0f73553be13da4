"""Where the files of a corpus lie: in a folder, in an archive, or among the downloads."""

from __future__ import annotations

import hashlib
import itertools
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

from latentwave.bench.data.config import CorpusConfig
from latentwave.bench.data.download import require
from latentwave.bench.data.download.archives import unpack
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.data.known import cache_folder
from latentwave.errors import UserError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")


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


def first_names(archive: Path, at_most: int) -> list[str]:
    """The names of the first files of an archive; none if it is damaged."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                infos = (info for info in opened.infolist() if not info.is_dir())
                return [info.filename for info in itertools.islice(infos, at_most)]
        with tarfile.open(archive, "r|*") as stream:
            members = (info for info in stream if info.isreg())
            return [info.name for info in itertools.islice(members, at_most)]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error):
        return []
