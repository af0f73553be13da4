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
