"""Register mixers by name, check their options, and build them."""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from latentwave.errors import UserError
from latentwave.mixers.base import Mixer, Projection
from latentwave.mixers.option_types import declared_types, fits, in_words

# The points of a decoder layer, in the order a layer runs them, the block last.
Point = Literal["attention", "qkv", "attention_output", "mlp", "mlp_hidden", "mlp_output", "block"]
POINTS: tuple[Point, ...] = get_args(Point)
MixerClass = TypeVar("MixerClass", bound=type[Mixer])
_COMMON_OPTIONS = ("gated", "check_finite")
_REGISTRY: dict[str, type[Mixer]] = {}
_PRESETS: dict[str, tuple["MixerConfig", tuple[str, ...]]] = {}  # by name: mixer and default points


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """A mixer by name.

    Attributes:
        kind: one of `list_mixers()`.
        options: keyword arguments of that mixer, or `gated` and `check_finite`, which all have.
            They override a preset's own, see `resolved`.
    """

    kind: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check kind, option names and the types of their values.

        Raises:
            UserError: for an unknown kind or option, or a value of the wrong type.
        """
        cls = _find(self.kind)
        parameters = inspect.signature(cls.__init__).parameters.values()
        known = [*(p.name for p in parameters if p.kind is p.KEYWORD_ONLY), *_COMMON_OPTIONS]
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

    def resolved(self) -> "MixerConfig":
        """The same mixer with presets replaced by their kind and options, in chains too.

        Raises:
            UserError, ValueError: for a chain with an invalid entry.

        Example:
            >>> MixerConfig(kind="best", options={"kernel_size": 8}).resolved().options
            {'kernel_size': 8}
        """
        config = self
        if self.kind in _PRESETS:
            preset, _ = _PRESETS[self.kind]
            config = dataclasses.replace(preset, options={**preset.options, **self.options})
        options = _find(config.kind).resolved_options(config.options)
        return config if options is config.options else dataclasses.replace(config, options=options)

    def check_point(self, point: str) -> None:
        """Refuse a point of a decoder layer where the mixer cannot stand, see `Mixer.check_point`.

        Raises:
            UserError: for such a point.
        """
        config = self.resolved()
        _find(config.kind).check_point(point, config.options)

    def at_projection(self, projection: Projection) -> "MixerConfig | None":
        """The config for an attention projection, see `Mixer.options_at`; None if not for it."""
        config = self.resolved()
        options = _find(config.kind).options_at(projection, config.options)
        return None if options is None else dataclasses.replace(config, options=options)


def register_mixer(kind: str) -> Callable[[MixerClass], MixerClass]:
    """Class decorator: register a `Mixer` with a constructor (channels, context_length, *, …).

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
    name: str, *, kind: str, options: Mapping[str, Any], points: str | Sequence[str] | None = None
) -> None:
    """Register a mixer with preset options under a name that can be used like a kind.

    Models are built and saved with the underlying kind.

    Args:
        name: the name.
        kind: a registered mixer, or another preset, whose options stay unless replaced here.
        options: options of that mixer; the caller's take precedence.
        points: its default point or points in a decoder layer; None: those of `kind`.

    Raises:
        ValueError: if the name is taken.
        UserError: for an unknown kind, option or point.
    """
    _refuse_taken(name)
    config = MixerConfig(kind=kind, options=options).resolved()
    chosen = default_points(kind) if points is None else as_points(points)
    for point in chosen:
        config.check_point(point)
    _PRESETS[name] = dataclasses.replace(config, options=dict(config.options)), chosen


def list_mixers() -> list[str]:
    """The kinds that `build_mixer` and `attach` accept, including presets, sorted.

    Example:
        >>> "wavelet" in list_mixers(), "best" in list_mixers()
        (True, True)
    """
    return sorted([*_REGISTRY, *_PRESETS])


def default_points(kind: str) -> tuple[str, ...]:
    """The default points of a mixer in a decoder layer.

    Raises:
        UserError: for an unknown kind.

    Example:
        >>> default_points("wavelet"), default_points("best")
        (('block',), ('mlp',))
    """
    cls = _find(kind)
    return _PRESETS[kind][1] if kind in _PRESETS else cls.points


def as_points(points: str | Sequence[str]) -> tuple[Point, ...]:
    """One or several points of a decoder layer, in the order a layer runs them, the block last.

    Raises:
        UserError: for an unknown point, or none at all.

    Example:
        >>> as_points(["block", "mlp", "attention"])
        ('attention', 'mlp', 'block')
    """
    several = isinstance(points, Iterable) and not isinstance(points, str)
    given: list[Any] = list(points) if several else [points]
    if not given or any(point not in POINTS for point in given):
        raise UserError(
            f"points must be one or more of {', '.join(map(repr, POINTS))}, got {points!r}"
        )
    return tuple(point for point in POINTS if point in given)


def build_mixer(
    mixer: str | MixerConfig, *, channels: int, context_length: int, **options: Any
) -> Mixer:
    """Build one mixer.

    Args:
        mixer: a kind, or a `MixerConfig` (then without further options).
        channels: D.
        context_length: L, the tokens that the backbone is trained on.
        **options: options of that kind; see its class. Every kind also has `gated` (False), to
            start as the identity and fade in, see `Mixer.add_fade_gate`; and `check_finite`
            (False), to refuse NaN and infinities in the input, for debugging.

    Raises:
        UserError: for an unknown kind or option.
        ValueError: for an invalid option value.

    Example:
        >>> build_mixer("wavelet", channels=8, context_length=16).receptive_field
        16
    """
    config = as_config(mixer, options).resolved()
    cls = _find(config.kind)
    given = {name: _plain(value) for name, value in config.options.items()}
    gated, check_finite = (given.pop(name, False) for name in _COMMON_OPTIONS)
    built = cls(_plain(channels), _plain(context_length), **given)
    if gated:
        built.add_fade_gate()
    built.check_finite = check_finite
    return built


def as_config(mixer: str | MixerConfig, options: Mapping[str, Any]) -> MixerConfig:
    """A config from a kind with options, or from a config."""
    if isinstance(mixer, MixerConfig):
        if options:
            raise UserError(
                "put options inside the MixerConfig when you pass one, also got "
                + ", ".join(sorted(options))
            )
        return mixer
    return MixerConfig(kind=mixer, options=dict(options))


def _refuse_taken(name: str) -> None:
    if name in list_mixers():
        raise ValueError(f"a mixer named {name!r} is already registered: {_find(name)}")


def _find(kind: str) -> type[Mixer]:
    """The class of a kind or preset."""
    if isinstance(kind, str) and kind in _PRESETS:
        kind = _PRESETS[kind][0].kind
    if not isinstance(kind, str) or kind not in _REGISTRY:
        known = list_mixers()
        raise UserError(
            f"there is no mixer {kind!r}{_suggest(kind, known)}; known are: {', '.join(known)}"
        )
    return _REGISTRY[kind]


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, in lists too."""
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
