"""HTTP transfers that go on where they were cut off."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentwave.errors import UserError

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 5
MOST_BYTES = 1 << 34  # where neither catalogue nor server tell a size


class Transfer:
    """Downloads into NAME.part beside the target, and continues what lies there.

    Whether what was continued is still the same file, the checksum tells; without one each
    transfer starts anew. It can stand in for a downloader of pooch, whose own starts anew.

    Args:
        part: the file that collects what was received; it outlives a failure.
        num_bytes: the size that the file must have; None: what the server says.
        resume: whether to continue what was received before.
        on_bytes: is called with the bytes received so far and the size, None if not told.

    Raises:
        UserError: when called, if the server refuses or sends another size, or the transfer
            breaks off again and again.
    """

    def __init__(
        self,
        part: Path,
        *,
        num_bytes: int | None = None,
        resume: bool = True,
        on_bytes: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self._part = part
        self._num_bytes = num_bytes
        self._resume = resume
        self._on_bytes = on_bytes

    def __call__(self, url: str, output_file: Any, _: Any = None) -> None:
        """Fetch a file into the path of the output."""
        if not url.startswith(("http://", "https://")):
            raise UserError(f"can only download from http and https, got {url}")
        if not self._resume:
            self._part.unlink(missing_ok=True)
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(2.0 ** (attempt - 1))
            try:
                self._receive(url)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416:  # all is here, or another file than before
                    self._part.unlink(missing_ok=True)
                elif 400 <= error.code < 500:
                    raise UserError(f"{url}: HTTP {error.code} {error.reason}") from error
                failure: Exception = error
            except (OSError, http.client.HTTPException) as error:
                failure = error
            else:
                shutil.move(self._part, output_file)
                return
        raise UserError(
            f"{url}: the transfer failed {_ATTEMPTS} times, last with: {failure}; "
            f"{self._have():,} bytes are kept, the same command goes on from there"
        )

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _receive(self, url: str) -> None:
        have = self._have()
        headers = {"User-Agent": "latentwave", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            if response.status != 206:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise OSError(f"asked for bytes from {have} on, the server sent others")
            length = response.headers.get("Content-Length", "")
            size = have + int(length) if length.isdecimal() else None
            most = self._num_bytes or size or MOST_BYTES
            if size is not None and size != most:
                raise self._wrong_size(url, size)
            with self._part.open("ab" if have else "wb") as file:
                while chunk := response.read(_CHUNK_BYTES):
                    have += len(chunk)
                    if have > most:
                        raise self._wrong_size(url, have)
                    file.write(chunk)
                    if self._on_bytes is not None:
                        self._on_bytes(have, size)
        if size is not None and have < size:
            raise OSError(f"the connection was lost after {have:,} of {size:,} bytes")
        if self._num_bytes not in (None, have):
            raise self._wrong_size(url, have)

    def _wrong_size(self, url: str, found: int) -> UserError:
        self._part.unlink(missing_ok=True)
        wanted = f"{self._num_bytes:,}" if self._num_bytes else f"at most {MOST_BYTES:,}"
        return UserError(f"{url}: the file has {found:,} bytes or more, not {wanted}")
