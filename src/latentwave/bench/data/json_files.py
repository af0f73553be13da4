"""JSON files, configurations and plain values, checked against a type."""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
import typing
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from latentwave.errors import UserError

T = TypeVar("T")
MOST = 10**9  # of any number that has no smaller bound
_SIGNS = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}


@overload
def read_json(path: Path, remedy: str) -> dict[str, Any]: ...
@overload
def read_json(path: Path, remedy: str, schema: type[T]) -> T: ...
def read_json(path: Path, remedy: str, schema: Any = dict[str, Any]) -> Any:
    """The content of a JSON file, whose values must have exactly the types that `schema` names.

    Args:
        path: the file.
        remedy: what to do where it is missing or damaged, the end of the UserError's message.
        schema: a dataclass, a model, or a type such as `dict[str, str]`.
    """
    if not path.is_file():  # a named pipe would never end
        what = "not a regular file" if path.exists() else "missing"
        raise UserError(f"{path} is {what}: {remedy}")
    try:
        return _adapter(schema).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({_first_fault(error)}): {remedy}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {remedy}") from error


def validated(value: Any, schema: Any, *, strict: bool = False) -> Any:
    """Plain values as an object of a type; a ValueError names the place of the first fault."""
    try:
        return _adapter(schema).validate_python(value, strict=strict)
    except ValidationError as error:
        raise ValueError(_first_fault(error)) from error


def number(
    default: Any,
    least: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    most: float = MOST,
) -> Any:
    """A field of a configuration with bounds."""
    bounds = {">=": least, ">": above, "<": below, "<=": most}
    return dataclasses.field(default=default, metadata=bounds)


def check_values(config: Any, group: str = "") -> None:
    """Check every field of a configuration against its annotation and the bounds of `number`.

    Raises:
        UserError: with name and value, for another type, a word that a Literal does not have, a
            number out of range or not finite.
    """
    hints = typing.get_type_hints(type(config))
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
            raise UserError(f"{name} {fault}, got {value!r}"[:500]) from error
        for sign, bound in field.metadata.items():
            if None not in (value, bound) and not _SIGNS[sign](value, bound):
                raise UserError(f"{name} must be {sign} {bound}, got {value}")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


@functools.lru_cache(maxsize=64)
def _adapter(schema: Any) -> Any:
    return TypeAdapter(schema)
