"""Give one module another class, and take it back, as PyTorch's `fully_shard` does.

Compilers guard on the class of a module, so a graph of the plain class is never taken for one of
the swapped class. Module hooks they do not see.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn


class Swapped(nn.Module):
    """Base of the mixins that `swap_class` puts before a module's class."""

    _swapped_from: type[nn.Module]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Build a plain module: `type(model)(config)` is no model with mixers yet."""
        self.__class__ = _restored(type(self))  # type: ignore[arg-type]
        self.__init__(*args, **kwargs)  # type: ignore[misc]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle without the class, which exists in this process only."""
        reduced: Any = super().__reduce_ex__(protocol)
        _, (cls, *args), *rest = reduced
        return (_new, (cls.__mro__[1], cls._swapped_from, *args), *rest)


def _new(mixin: type[Swapped], base: type[nn.Module], *args: Any) -> nn.Module:
    cls: Any = _swapped(mixin, base)  # type: ignore[arg-type]
    module: nn.Module = cls.__new__(cls, *args)
    return module


@functools.cache
def _swapped(mixin: Any, base: Any) -> Any:
    # Libraries find classes by their names, so these stay; but compilers take what is in
    # torch.nn for modules that nobody changes.
    module = base.__module__ if not base.__module__.startswith("torch.nn") else __name__
    body = {"__module__": module, "__qualname__": base.__qualname__, "_swapped_from": base}
    return type(base)(base.__name__, (mixin, base), body)


@functools.cache
def _restored(cls: Any) -> Any:
    if not issubclass(cls, Swapped):
        return cls
    if "_swapped_from" in vars(cls):
        return cls._swapped_from
    # Another class was put before ours since; its body is kept without what it took from ours.
    body = {name: value for name, value in vars(cls).items() if name != "forward"}
    return type(cls)(cls.__name__, tuple(map(_restored, cls.__bases__)), body)


def swap_class(module: nn.Module, mixin: type[Swapped]) -> None:
    """Put a mixin before the module's class, unless it is there already."""
    if not isinstance(module, mixin):
        _set_class(module, _swapped(mixin, type(module)))  # type: ignore[arg-type]


def restore_class(module: nn.Module) -> None:
    """Give a module back the class that it had before `swap_class`."""
    _set_class(module, _restored(type(module)))  # type: ignore[arg-type]


def _set_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Change the class, and the bound methods of it that others have kept on the module.

    accelerate puts a `forward` of its own there, and keeps the class's beside it.
    """
    own = type(module).forward
    module.__class__ = cls
    for name in ("forward", "_old_forward"):
        if getattr(vars(module).get(name), "__func__", None) is own:
            setattr(module, name, cls.forward.__get__(module))
