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
OnBytes = Callable[[int, int | None], None]
MOST_BYTES = 1 << 34  # where neither catalogue nor server tell a size


def transfer(
    url: str,
    output_file: Any,
    _: Any = None,
    *,
    part: Path,
    num_bytes: int | None = None,
    resume: bool = True,
    on_bytes: OnBytes | None = None,
) -> None:
    """Download into a part beside the target, and continue what lies there.

    Whether what was continued is still the same file, the checksum tells; without one each
    transfer starts anew. With its options bound it stands in for a downloader of pooch, whose own
    always starts anew.

    The part outlives a failure. `num_bytes` is the size that the file must have, None: what the
    server says; `on_bytes` is called with the bytes so far and the size, None if not told.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"can only download from http and https, got {url}")
    if not resume:
        part.unlink(missing_ok=True)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            _receive(url, part, num_bytes, on_bytes)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # all is here, or another file than before
                part.unlink(missing_ok=True)
            elif 400 <= error.code < 500:
                raise UserError(f"{url}: HTTP {error.code} {error.reason}") from error
            failure: Exception = error
        except (OSError, http.client.HTTPException) as error:
            failure = error
        else:
            shutil.move(part, output_file)
            return
    raise UserError(
        f"{url}: the transfer failed {_ATTEMPTS} times, last with: {failure}; "
        f"{_size(part):,} bytes are kept, the same command goes on from there"
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, num_bytes: int | None, on_bytes: OnBytes | None) -> None:
    have = _size(part)
    headers = {"User-Agent": "latentwave", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        if response.status != 206:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise OSError(f"asked for bytes from {have} on, the server sent others")
        length = response.headers.get("Content-Length", "")
        size = have + int(length) if length.isdecimal() else None
        most = num_bytes or size or MOST_BYTES
        if size not in (None, most):
            raise _wrong_size(url, part, size or 0, num_bytes)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                have += len(chunk)
                if have > most:
                    raise _wrong_size(url, part, have, num_bytes)
                file.write(chunk)
                if on_bytes is not None:
                    on_bytes(have, size)
    if size is not None and have < size:
        raise OSError(f"the connection was lost after {have:,} of {size:,} bytes")
    if num_bytes not in (None, have):
        raise _wrong_size(url, part, have, num_bytes)


def _wrong_size(url: str, part: Path, found: int, num_bytes: int | None) -> UserError:
    part.unlink(missing_ok=True)
    wanted = f"{num_bytes:,}" if num_bytes else f"at most {MOST_BYTES:,}"
    return UserError(f"{url}: the file has {found:,} bytes or more, not {wanted}")
