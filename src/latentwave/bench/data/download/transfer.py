"""HTTP transfers that go on where they were cut off."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from latentwave.errors import UserError

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 5
_PERMANENT = range(400, 500)


class Transfer:
    """Downloads into NAME.part beside the target, and continues what lies there.

    What was received is continued only if the server still has the same file, by its entity tag
    or time of change. It can stand in for a downloader of pooch.

    Args:
        part: the file that collects what was received; it outlives a failure.
        on_bytes: is called with the bytes received so far and the size, None if not told.
        wait_seconds: before the second attempt; doubled before each further one.
    """

    def __init__(
        self,
        part: Path,
        on_bytes: Callable[[int, int | None], None] | None = None,
        *,
        wait_seconds: float = 1.0,
    ) -> None:
        self._part = part
        self._validator = part.with_name(part.name + ".json")
        self._on_bytes = on_bytes
        self._wait_seconds = wait_seconds

    def __call__(self, url: str, output_file: Any, _: Any = None) -> None:
        """Fetch a file.

        Args:
            url: http or https.
            output_file: path, or a file open for writing, that gets the content.

        Raises:
            UserError: if the server refuses, or the transfer breaks off again and again.
        """
        if not url.startswith(("http://", "https://")):
            raise UserError(f"can only download from http and https, got {url}")
        wait = self._wait_seconds
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._receive(url)
                break
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416:  # more than all is here: another file than before
                    self._part.unlink(missing_ok=True)
                elif error.code in _PERMANENT:
                    raise UserError(f"{url}: HTTP {error.code} {error.reason}") from error
                failure: Exception = error
            except (OSError, http.client.HTTPException) as error:
                failure = error
            if attempt == _ATTEMPTS:
                have = self._part.stat().st_size if self._part.exists() else 0
                raise UserError(
                    f"{url}: the transfer failed {_ATTEMPTS} times, last with: {failure}; "
                    f"{have:,} bytes are kept, the same command goes on from there"
                )
            time.sleep(wait)
            wait *= 2
        self._hand_over(output_file)

    def _receive(self, url: str) -> None:
        have = self._part.stat().st_size if self._part.exists() else 0
        validator = self._known_validator(url)
        if validator is None:
            have = 0
        headers = {"User-Agent": "latentwave", "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator or ""}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            if response.status == 206:
                begins = response.headers.get("Content-Range", "").partition(" ")[2]
                if begins.partition("-")[0] != str(have):
                    raise OSError(f"asked for bytes from {have} on, the server sent {begins!r}")
            else:
                have = 0
            length = response.headers.get("Content-Length")
            size = None if length is None else have + int(length)
            self._remember(url, response.headers)
            with self._part.open("ab" if have else "wb") as file:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    have += len(chunk)
                    if self._on_bytes is not None:
                        self._on_bytes(have, size)
            if size is not None and have < size:
                raise OSError(f"the connection was lost after {have:,} of {size:,} bytes")

    def _known_validator(self, url: str) -> str | None:
        try:
            known = json.loads(self._validator.read_text(encoding="utf-8"))
            return str(known["validator"]) if known["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remember(self, url: str, headers: Any) -> None:
        tag = headers.get("ETag")
        strong = tag if tag and not tag.startswith("W/") else None
        validator = strong or headers.get("Last-Modified")
        if validator is None:  # nothing tells whether the file is still the same
            self._validator.unlink(missing_ok=True)
            return
        self._validator.write_text(
            json.dumps({"url": url, "validator": validator}), encoding="utf-8"
        )

    def _hand_over(self, output_file: Any) -> None:
        self._validator.unlink(missing_ok=True)
        if isinstance(output_file, str | Path):
            self._part.replace(output_file)
            return
        target: IO[bytes] = output_file
        with self._part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                target.write(chunk)
        self._part.unlink()
