"""Names of mixers, their options, and how to build one."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from latentwave.errors import UserError
from latentwave.mixers.base import Mixer
from latentwave.mixers.option_types import declared_types, fits, in_words

MixerClass = TypeVar("MixerClass", bound=type[Mixer])
_COMMON_OPTIONS = ("gated", "check_finite")
_REGISTRY: dict[str, type[Mixer]] = {}
_RENAMED: dict[str, dict[str, str]] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """A mixer by name.

    Attributes:
        kind: one of `list_mixers()`.
        options: keyword arguments of that mixer, and `gated` and `check_finite`, which every
            mixer has.
    """

    kind: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check kind, option names and the types of their values.

        Raises:
            UserError: for an unknown kind or option, with the nearest names, or for a value of
                another type than the option has.
        """
        cls = _find(self.kind)
        known = option_names(cls)
        if not isinstance(self.options, Mapping):
            raise UserError(
                f"options of mixer {self.kind!r} must be a mapping, got {self.options!r}"
            )
        types = dict.fromkeys(_COMMON_OPTIONS, bool) | declared_types(cls.__init__)
        for name, value in self.options.items():
            if name not in known:
                raise UserError(
                    f"mixer {self.kind!r} has no option {name!r}{_suggest(name, known)}; "
                    f"its options are: {', '.join(known) or 'none'}"
                )
            if name in types and not fits(value, types[name]):
                raise UserError(
                    f"option {name!r} of mixer {self.kind!r} must be {in_words(types[name])}, "
                    f"got {value!r}"
                )


def register_mixer(
    kind: str, *, renamed: Mapping[str, str] | None = None
) -> Callable[[MixerClass], MixerClass]:
    """Class decorator: make a `Mixer` known under `kind`.

    Its constructor takes (channels, context_length, *, options with defaults).

    Args:
        kind: the name.
        renamed: old names of options and the present ones, so that models which were saved with
            the old names load.

    Raises:
        ValueError: if the name is taken.
    """

    def register(cls: MixerClass) -> MixerClass:
        if kind in _REGISTRY:
            raise ValueError(f"a mixer named {kind!r} is registered already: {_REGISTRY[kind]}")
        cls.kind = kind
        _REGISTRY[kind] = cls
        _RENAMED[kind] = dict(renamed or {})
        return cls

    return register


def list_mixers() -> list[str]:
    """The kinds that `build_mixer` and `attach` know, sorted.

    Example:
        >>> "wavelet" in list_mixers()
        True
    """
    return sorted(_REGISTRY)


def build_mixer(
    mixer: str | MixerConfig, *, channels: int, context_length: int, **options: Any
) -> Mixer:
    """Build one mixer.

    Args:
        mixer: a kind, or a `MixerConfig` (then without further options).
        channels: D.
        context_length: L, the tokens that the backbone is trained on.
        **options: of that kind; see its class. Every kind also takes two more. `gated` (False):
            start as the identity and fade in, see `Mixer.add_fade_gate`. `check_finite` (False):
            refuse NaN and infinities in the input, for debugging.

    Returns:
        The module.

    Raises:
        UserError: for an unknown kind or option.
        ValueError: for a value that the mixer refuses.

    Example:
        >>> build_mixer("wavelet", channels=8, context_length=16).receptive_field
        16
    """
    config = as_config(mixer, options)
    cls = _find(config.kind)
    own = {name: value for name, value in config.options.items() if name not in _COMMON_OPTIONS}
    built = cls(channels, context_length, **own)
    if config.options.get("gated", False):
        built.add_fade_gate()
    built.check_finite = bool(config.options.get("check_finite", False))
    return built


def as_config(mixer: str | MixerConfig, options: Mapping[str, Any]) -> MixerConfig:
    """One config from what the public functions accept."""
    if isinstance(mixer, MixerConfig):
        if options:
            raise UserError(
                "options belong inside the MixerConfig when one is given, got also "
                + ", ".join(sorted(options))
            )
        return mixer
    return MixerConfig(kind=mixer, options=dict(options))


def current_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under their present names, whatever they were called when they were saved.

    Raises:
        UserError: for an unknown kind.
    """
    _find(kind)
    renamed = _RENAMED[kind]
    return {renamed.get(name, name): value for name, value in options.items()}


def option_names(cls: type[Mixer]) -> list[str]:
    """Keyword-only arguments of a mixer's constructor, and the options that all mixers share."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    own = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return [*own, *_COMMON_OPTIONS]


def _find(kind: str) -> type[Mixer]:
    if not isinstance(kind, str) or kind not in _REGISTRY:
        known = list_mixers()
        raise UserError(
            f"there is no mixer {kind!r}{_suggest(kind, known)}; known are: {', '.join(known)}"
        )
    return _REGISTRY[kind]


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
