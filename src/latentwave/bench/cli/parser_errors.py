"""What the parser says of a wrong value, in words."""

from __future__ import annotations

import re

# What the parser says of a value that has another type than its key needs.
_KEY = re.compile(r'Parser key "([\w.]+)"')
_TYPE = re.compile(r"Expected (?:a )?(?:<class '(\w+)'>|typing.Literal\[(.+?)\])")
_NO_MAPPING = re.compile("Not a valid subclass|Unable to load config|dot import path string")
_VALUE = re.compile(r"(?:(?:Got|Given) value|import path string): (.+)|load config '(.+?)'")
_NO_OPTION = re.compile("Option '(.+?)' is not accepted")
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list, such as '[{value}]'",
    "dict": "a mapping of names to values",
    "NoneType": "null",
}


def in_words(saying: str) -> str:
    """What the parser says, without the names of Python's types."""
    keys = dict.fromkeys(_KEY.findall(saying))
    if not keys:
        return saying
    key = "--" + ": ".join(keys)
    if unknown := _NO_OPTION.search(saying):
        return f"{key} has no option {unknown[1]!r}"
    wanted = [
        f"one of {values}" if values else _TYPES.get(name, name)
        for name, values in _TYPE.findall(saying)
    ]
    if _NO_MAPPING.search(saying):
        wanted.append(_TYPES["dict"])
    found = _VALUE.search(saying)
    if not wanted or not found:
        return saying
    value = found[1] or found[2]
    words = " or ".join(dict.fromkeys(wanted)).format(value=value)
    return f"{key} must be {words}, got {value}"
