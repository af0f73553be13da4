"""Checks of what recipes say."""

from __future__ import annotations

from collections.abc import Sequence

from latentwave.errors import UserError

LARGEST_SEED = 2**32 - 1  # NumPy's


def check_seeds(name: str, seeds: Sequence[int]) -> None:
    """Refuse seeds that are no seeds, or the same twice, with their name and values."""
    distinct = len(set(seeds)) == len(seeds) > 0
    if not distinct or min(seeds) < 0 or max(seeds) > LARGEST_SEED:
        raise UserError(
            f"{name} must be distinct numbers from 0 to {LARGEST_SEED}, at least one, got {seeds}"
        )


def check_name(group: str, name: str) -> None:
    """Refuse a name that cannot be that of a folder; `group` is what recipes call it."""
    allowed = all(c.isalnum() or c in "._-+" for c in name)
    if not name or not allowed or name[0] == "." or len(name.encode()) > 150:
        raise UserError(
            f"{group}: {name[:200]!r} names a folder: use letters, digits and . _ - + only, at "
            "most 150"
        )
