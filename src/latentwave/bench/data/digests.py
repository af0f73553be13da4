"""Digests of what is read, while it is read."""

from __future__ import annotations

import hashlib

from latentwave.bench.data.metadata import Source


class SourceDigest:
    """Size and SHA-256 of a source whose bytes pass by.

    Example:
        >>> digest = SourceDigest()
        >>> digest.update(b"abc")
        >>> digest.source("a.txt").num_bytes
        3
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    def update(self, content: bytes) -> None:
        """Take in the next bytes."""
        self._digest.update(content)
        self.num_bytes += len(content)

    def source(self, name: str) -> Source:
        """What has passed by, under a name."""
        return Source(name=name, num_bytes=self.num_bytes, sha256=self._digest.hexdigest())
