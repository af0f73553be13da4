"""Check option values against the types that a mixer's constructor declares."""

import numbers
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real}


def declared_types(constructor: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a constructor by argument; empty if they cannot be resolved."""
    try:
        return get_type_hints(constructor)
    except (NameError, AttributeError, TypeError):
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value matches a type hint, without conversion.

    An integer fits a float and NumPy's scalars fit Python's; a bool is no number and a string no
    sequence. The constructor checks the values of a `Literal` and the contents of a list of
    mappings, because its errors say more.

    Example:
        >>> fits(2, float), fits(2.0, int | None), fits([8, 4], Sequence[int] | None)
        (True, False, True)
        >>> fits(4, Literal[2, 4]), fits("4", Literal[2, 4])
        (True, False)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in arguments)
    if _is_subtype(origin, Sequence):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return _is_subtype(get_origin(arguments[0]), Mapping) or (
            is_list and all(fits(each, arguments[0]) for each in value)
        )
    if _is_subtype(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(key, arguments[0]) and fits(each, arguments[1]) for key, each in value.items()
        )
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    if origin is Literal:
        return isinstance(value, tuple(type(each) for each in arguments))
    plain = origin or hint
    return plain is Any or not isinstance(plain, type) or isinstance(value, plain)


def in_words(hint: Any) -> str:
    """A type hint as text for error messages.

    Example:
        >>> in_words(Sequence[int] | Literal["halving"] | None)
        "list of int, 'halving' or None"
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        *most, last = [in_words(each) for each in arguments]
        return f"{', '.join(most)} or {last}"
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if _is_subtype(origin, Sequence):
        return f"list of {in_words(arguments[0])}"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


def _is_subtype(origin: Any, parent: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, parent)
