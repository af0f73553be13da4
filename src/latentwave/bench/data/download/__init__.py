"""Published data sets: where they lie, checked transfers, and archives unpacked safely."""

from latentwave.bench.data.download.fetch import (
    CATALOGUE,
    Download,
    RemoteFile,
    downloaded,
    fetch,
    require,
)

__all__ = ["CATALOGUE", "Download", "RemoteFile", "downloaded", "fetch", "require"]
