"""Checks of the values in configurations and recipes: types, bounds, seeds, names of folders."""

import dataclasses
import functools
import json
import operator
import typing
from collections.abc import Sequence
from typing import Any

from latentwave.bench.data.json_files import validated
from latentwave.errors import UserError

MOST = 10**9  # the default upper bound of a number
_SIGNS = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}
LARGEST_SEED = 2**32 - 1  # NumPy's
# Cached, since a ladder checks tens of thousands of configurations of a few classes.
_type_hints = functools.cache(typing.get_type_hints)


def number(
    default: Any,
    least: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    most: float = MOST,
) -> Any:
    """A dataclass field whose value must stay within bounds."""
    bounds = {">=": least, ">": above, "<": below, "<=": most}
    return dataclasses.field(default=default, metadata=bounds)


def check_values(config: Any, group: str = "") -> None:
    """Check every field against its annotation and the bounds of `number`; numbers must be finite.

    Raises:
        UserError: naming the field, prefixed with `group`, and its value.
    """
    hints = _type_hints(config.__class__)
    for field in dataclasses.fields(config):
        name = f"{group}.{field.name}" if group else field.name
        value = getattr(config, field.name)
        try:
            json.dumps(value, allow_nan=False, default=str)
        except ValueError as error:
            raise UserError(f"{name} must have finite numbers, got {value}") from error
        try:
            validated(value, hints[field.name], strict=True)
        except ValueError as error:
            fault = str(error).replace("Input should be", "must be")
            got = "" if ", got " in fault else f", got {value!r}"
            raise UserError(f"{name} {fault}{got}"[:500]) from error
        for sign, bound in field.metadata.items():
            if None not in (value, bound) and not _SIGNS[sign](value, bound):
                raise UserError(f"{name} must be {sign} {bound}, got {value}")


def check_seeds(name: str, seeds: Sequence[int]) -> None:
    """Refuse an empty list of seeds, repeated seeds and seeds out of range."""
    are_distinct = len(set(seeds)) == len(seeds) > 0
    if not are_distinct or min(seeds) < 0 or max(seeds) > LARGEST_SEED:
        raise UserError(
            f"{name} must be distinct numbers from 0 to {LARGEST_SEED}, at least one, got {seeds}"
        )


def check_name(group: str, name: str) -> None:
    """Refuse a name that cannot be a folder's; `group` is what recipes call it."""
    is_allowed = all(c.isalnum() or c in "._-+" for c in name)
    if not name or not is_allowed or name[0] == "." or len(name.encode()) > 150:
        raise UserError(
            f"{group}: {name[:200]!r} names a folder: use letters, digits and . _ - + only, at "
            "most 150, and do not begin with a dot"
        )
