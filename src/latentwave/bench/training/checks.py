"""Checks of values that recipes hold."""

from __future__ import annotations

from collections.abc import Sequence

from latentwave.errors import UserError


def at_least(config: object, group: str, least: float, *names: str) -> None:
    """Refuse attributes of a configuration that are below a bound.

    Args:
        config: that has them.
        group: its name in a recipe.
        least: the smallest value allowed.
        *names: of the attributes.

    Raises:
        UserError: with name and value.
    """
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise UserError(f"{group}.{name} must be >= {least}, got {value}")


def check_seeds(name: str, seeds: Sequence[int]) -> None:
    """Refuse seeds that are no seeds, or the same twice.

    Args:
        name: what a recipe calls them.
        seeds: the values.

    Raises:
        UserError: with name and values.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"{name} must be distinct numbers >= 0, at least one, got {seeds}")


def check_name(group: str, name: str) -> None:
    """Refuse a name that cannot be that of a folder.

    Args:
        group: what recipes call it.
        name: the value.

    Raises:
        UserError: with group and value.
    """
    if not name or not all(c.isalnum() or c in "._-+" for c in name) or name[0] == ".":
        raise UserError(f"{group}: {name!r} names a folder: use letters, digits and . _ - + only")
