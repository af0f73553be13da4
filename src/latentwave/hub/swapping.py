"""Swap the class of a single module and restore it, as PyTorch's `fully_shard` does.

Compilers guard on a module's class, so they never reuse a graph of the plain class for the swapped
one; module hooks they would not see.
"""

import functools
from typing import Any

from torch import nn


class Swapped(nn.Module):
    """Base of the mixins that `swap_class` adds in front of a module's class."""

    _swapped_from: type[nn.Module]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Build a plain module: `type(model)(config)` has no mixers yet."""
        self.__class__ = _restored(type(self))  # type: ignore[arg-type]
        self.__init__(*args, **kwargs)  # type: ignore[misc]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle without the swapped class, which exists only in this process."""
        reduced: Any = super().__reduce_ex__(protocol)
        _, (cls, *args), *rest = reduced
        return (_new, (cls.__mro__[1], cls._swapped_from, *args), *rest)


def _new(mixin: type[Swapped], base: type[nn.Module], *args: Any) -> nn.Module:
    cls: Any = _swapped(mixin, base)  # type: ignore[arg-type]
    module: nn.Module = cls.__new__(cls, *args)
    return module


@functools.cache
def _swapped(mixin: Any, base: Any) -> Any:
    # Libraries look classes up by name, so the names stay. But compilers treat classes in torch.nn
    # as built in, so those get our module name.
    module = base.__module__ if not base.__module__.startswith("torch.nn") else __name__
    body = {"__module__": module, "__qualname__": base.__qualname__, "_swapped_from": base}
    return type(base)(base.__name__, (mixin, base), body)


@functools.cache
def _restored(cls: Any) -> Any:
    if not issubclass(cls, Swapped):
        return cls
    if "_swapped_from" in vars(cls):
        return cls._swapped_from
    # Someone put another class in front of ours: keep its body, except for our forward.
    body = {name: value for name, value in vars(cls).items() if name != "forward"}
    return type(cls)(cls.__name__, tuple(map(_restored, cls.__bases__)), body)


def swap_class(module: nn.Module, mixin: type[Swapped]) -> None:
    """Add a mixin in front of a module's class, unless it already has it."""
    if not isinstance(module, mixin):
        _set_class(module, _swapped(mixin, type(module)))  # type: ignore[arg-type]


def restore_class(module: nn.Module) -> None:
    """Restore the class that a module had before `swap_class`, and drop our attributes."""
    _set_class(module, _restored(type(module)))  # type: ignore[arg-type]
    for name in [name for name in vars(module) if name.startswith("_mixed_")]:
        delattr(module, name)


def _set_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Change the class, and rebind its forward where others have stored it on the module.

    accelerate installs its own `forward` there and keeps the original as `_old_forward`.
    """
    forward = type(module).forward
    module.__class__ = cls
    for name in ("forward", "_old_forward"):
        if getattr(vars(module).get(name), "__func__", None) is forward:
            setattr(module, name, cls.forward.__get__(module))
