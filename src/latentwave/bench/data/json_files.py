"""Reads JSON files and plain values into typed objects."""

import functools
import re
import reprlib
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from latentwave.errors import UserError

T = TypeVar("T")
_MAPPING = re.compile(r"a (valid dictionary|dictionary or an instance of \w+)")


@overload
def read_json(path: Path, remedy: str) -> dict[str, Any]: ...
@overload
def read_json(path: Path, remedy: str, schema: type[T]) -> T: ...
def read_json(path: Path, remedy: str, schema: Any = dict[str, Any]) -> Any:
    """Read a JSON file whose values must have exactly the types of `schema`.

    Raises:
        UserError: ending with the `remedy`, if the file is missing or damaged.
    """
    if not path.is_file():  # opening a named pipe would block
        what = "not a regular file" if path.exists() else "missing"
        raise UserError(f"{path} is {what}: {remedy}")
    try:
        return _adapter(schema).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({_first_fault(error)}): {remedy}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {remedy}") from error


def validated(value: Any, schema: Any, *, strict: bool = False) -> Any:
    """Turn plain values into an object of a type; a ValueError names the first fault."""
    try:
        return _adapter(schema).validate_python(value, strict=strict)
    except ValidationError as error:
        raise ValueError(_first_fault(error)) from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    words = _MAPPING.sub("a mapping of names to values", fault["msg"])
    if "should be" in words:
        words += f", got {reprlib.repr(fault['input'])}"
    return f"{place}: {words}" if place else words


@functools.lru_cache(maxsize=64)
def _adapter(schema: Any) -> Any:
    return TypeAdapter(schema)
