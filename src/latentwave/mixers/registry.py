"""Names of mixers, their options, and how to build one."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from latentwave.errors import UserError
from latentwave.mixers.base import Mixer
from latentwave.mixers.option_types import declared_types, fits, in_words

MixerClass = TypeVar("MixerClass", bound=type[Mixer])
_COMMON_OPTIONS = ("gated", "check_finite")
_REGISTRY: dict[str, type[Mixer]] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A kind that is another one with options and a place of its own.

    Attributes:
        kind: the other one.
        options: its options; those that a caller gives come first.
        points: where in a layer it stands unless a caller says otherwise.
        doc: what it is, in a line.
    """

    kind: str
    options: Mapping[str, Any]
    points: tuple[str, ...]
    doc: str


_PRESETS: dict[str, Preset] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """A mixer by name.

    Attributes:
        kind: one of `list_mixers()`.
        options: keyword arguments of that mixer, and `gated` and `check_finite`, which every
            mixer has. Those of a preset come on top of its own, see `resolved`.
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

    def resolved(self) -> MixerConfig:
        """The same mixer with the kind and all the options that a preset stands for.

        Example:
            >>> MixerConfig(kind="best", options={"kernel_size": 8}).resolved().options
            {'kernel_size': 8}
        """
        preset = _PRESETS.get(self.kind)
        if preset is None:
            return self
        options = dict(preset.options) | dict(self.options)
        return MixerConfig(kind=preset.kind, options=options)

    def at_projection(
        self, projection: str, *, num_heads: int, num_key_value_heads: int
    ) -> MixerConfig | None:
        """The mixer as it stands on the output of a projection of attention.

        Returns:
            The config with what `Mixer.options_at` adds; None if the mixer does not stand there.
        """
        added = _find(self.kind).options_at(projection, num_heads, num_key_value_heads)
        if added is None:
            return None
        return dataclasses.replace(self, options=added | dict(self.options))


def register_mixer(kind: str) -> Callable[[MixerClass], MixerClass]:
    """Class decorator: make a `Mixer` known under `kind`.

    Its constructor takes (channels, context_length, *, options with defaults).

    Args:
        kind: the name.

    Raises:
        ValueError: if the name is taken.
    """

    def register(cls: MixerClass) -> MixerClass:
        _refuse_taken(kind)
        cls.kind = kind
        _REGISTRY[kind] = cls
        return cls

    return register


def register_preset(
    name: str,
    *,
    kind: str,
    options: Mapping[str, Any],
    doc: str,
    points: Sequence[str] = ("block",),
) -> None:
    """Make a mixer with options of its own known under a name, as if it were a kind.

    What is built, and what a saved model remembers, is the kind that it stands for.

    Args:
        name: the name.
        kind: a registered mixer.
        options: of that mixer; those that a caller gives come first.
        doc: what it is, in a line.
        points: where in a layer it stands unless a caller says otherwise.

    Raises:
        ValueError: if the name is taken.
        UserError: for an unknown kind or option.
    """
    _refuse_taken(name)
    MixerConfig(kind=kind, options=options)
    _PRESETS[name] = Preset(
        kind=kind,
        options=dict(options),
        points=tuple(points),
        doc=doc,
    )


def list_mixers() -> list[str]:
    """The kinds that `build_mixer` and `attach` know, presets included, sorted.

    Example:
        >>> "wavelet" in list_mixers(), "best" in list_mixers()
        (True, True)
    """
    return sorted([*_REGISTRY, *_PRESETS])


def default_points(kind: str) -> tuple[str, ...]:
    """Where in a decoder layer a mixer stands unless a caller says otherwise.

    Raises:
        UserError: for an unknown kind.

    Example:
        >>> default_points("wavelet"), default_points("best")
        (('block',), ('mlp',))
    """
    cls = _find(kind)
    return _PRESETS[kind].points if kind in _PRESETS else cls.points


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
    config = as_config(mixer, options).resolved()
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


def option_names(cls: type[Mixer]) -> list[str]:
    """Keyword-only arguments of a mixer's constructor, and the options that all mixers share."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    own = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return [*own, *_COMMON_OPTIONS]


def _refuse_taken(name: str) -> None:
    if name in list_mixers():
        raise ValueError(f"a mixer named {name!r} is registered already: {_find(name)}")


def _find(kind: str) -> type[Mixer]:
    """The class of a kind, or of the kind that a preset stands for."""
    if isinstance(kind, str) and kind in _PRESETS:
        kind = _PRESETS[kind].kind
    if not isinstance(kind, str) or kind not in _REGISTRY:
        known = list_mixers()
        raise UserError(
            f"there is no mixer {kind!r}{_suggest(kind, known)}; known are: {', '.join(known)}"
        )
    return _REGISTRY[kind]


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
