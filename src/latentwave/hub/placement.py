"""Which mixers go where: as requested by the caller, and as saved in a configuration."""

import copy
import dataclasses
import json
import operator
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from latentwave.errors import UserError
from latentwave.mixers import MixerConfig, default_points
from latentwave.mixers.option_types import fits, in_words
from latentwave.mixers.registry import Point, as_config, as_points

Placement = Literal["between", "all"] | Sequence[int]
Mixers = str | MixerConfig | Sequence[tuple[str | MixerConfig, str | Sequence[str] | None]]
_FORM: dict[str, Any] = {  # a mixer's entry in a configuration
    "kind": str,
    "options": Mapping[str, Any],
    "placement": Sequence[int] | str | None,
    "points": Sequence[str],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placed:
    """One mixer, and where copies of it go.

    Attributes:
        config: kind and options, with presets resolved.
        points: where in a layer, in the order the layer runs them.
        placement: in which layers; None means the default of each point.
    """

    config: MixerConfig
    points: tuple[Point, ...]
    placement: Placement | None

    def __post_init__(self) -> None:
        """Fill in the placement if all points share one default.

        Raises:
            UserError: for a point where the mixer cannot stand, or an option that cannot be saved
                with the model, before it is trained.
        """
        for point in self.points:
            self.config.check_point(point)
        for name, value in self.config.options.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"the option {name}={value!r} cannot be saved with the model ({error}): use "
                    "plain numbers, strings and lists"
                ) from error
        defaults = {_default_placement(point) for point in self.points}
        if self.placement is None and len(defaults) == 1:
            object.__setattr__(self, "placement", defaults.pop())

    def layers(self, point: Point, num_layers: int) -> list[int]:
        """The indices of the layers that have it at a point."""
        placement = _default_placement(point) if self.placement is None else self.placement
        if placement == "all":
            return list(range(num_layers))
        if placement == "between":
            if num_layers < 2:
                raise UserError('placement "between" needs at least 2 layers, got 1: use "all"')
            return list(range(num_layers - 1))
        chosen = sorted(set(placement))
        if not chosen or not all(0 <= index < num_layers for index in chosen):
            raise UserError(f"placement must name layers 0 to {num_layers - 1}, got {placement}")
        return chosen

    def entry(self) -> dict[str, Any]:
        """As plain values, for the model configuration."""
        return {
            "kind": self.config.kind,
            "options": copy.deepcopy(dict(self.config.options)),
            "placement": self.placement,
            "points": list(self.points),
        }

    @classmethod
    def from_entry(cls, entry: Any) -> "Placed":
        """Read an entry that `entry` wrote, and refuse any other."""
        check_fields(entry, _FORM, "a mixer")
        return cls(
            config=MixerConfig(kind=entry["kind"], options=entry["options"]),
            points=as_points(entry["points"]),
            placement=_as_placement(entry["placement"]),
        )


def check_fields(entry: Any, form: Mapping[str, Any], what: str) -> None:
    """Refuse an entry that is not a mapping with at least these fields of these types."""
    if not isinstance(entry, Mapping):
        raise UserError(f"{what} must be a mapping, got {reprlib.repr(entry)}")
    for name, hint in form.items():
        if name not in entry or not fits(entry[name], hint):
            got = reprlib.repr(entry[name]) if name in entry else "nothing"
            raise UserError(f"{name} of {what} must be {in_words(hint)}, got {got}")


def as_placed(
    mixer: Mixers,
    options: Mapping[str, Any],
    placement: Placement | None,
    points: str | Sequence[str] | None,
) -> tuple[Placed, ...]:
    """The mixers and positions that a call of `attach` requests."""
    placement = _as_placement(placement)
    for name, right in (("kind", "mixer"), ("point", "points")):
        if name in options:
            raise UserError(f"attach has no argument {name!r}: use {right}={options[name]!r}")
    if isinstance(mixer, str | MixerConfig):
        return (_place(as_config(mixer, options), placement, points),)
    if options or points is not None:
        raise UserError(
            "with a list of mixers, pass points in each pair and options in a MixerConfig; "
            f"also got {', '.join([*options, *(['points'] if points is not None else [])])}"
        )
    try:
        pairs = [(each, where) for each, where in mixer]
    except (TypeError, ValueError):
        pairs = []
    if not pairs:
        raise UserError(
            "mixer must be a kind, a MixerConfig, or a list of pairs of a mixer and its points, "
            f'such as [("kv_shift", "qkv"), ("dynamic_conv", "mlp")], got {mixer!r}'
        )
    placed = tuple(_place(as_config(each, {}), placement, where) for each, where in pairs)
    kinds: dict[Point, str] = {}
    for one in placed:
        for point in one.points:
            if point in kinds:
                raise UserError(
                    f"{kinds[point]!r} and {one.config.kind!r} cannot share the point {point!r}: "
                    'put them into one "chain", which runs them one after the other'
                )
            kinds[point] = one.config.kind
    return placed


def _as_placement(placement: Any) -> Placement | None:
    """Check a placement, and convert any sequence of indices to a list of plain integers."""
    if placement is None or (isinstance(placement, str) and placement in ("between", "all")):
        return cast("Placement | None", placement)
    try:
        indices = [operator.index(index) for index in placement]
        wrong = isinstance(placement, str) or any(isinstance(index, bool) for index in placement)
    except TypeError:
        wrong = True
    if wrong:
        raise UserError(
            f'placement must be "between", "all" or a list of layer indices, got {placement!r}'
        )
    return indices


def _place(
    config: MixerConfig, placement: Placement | None, points: str | Sequence[str] | None
) -> Placed:
    chosen = as_points(default_points(config.kind) if points is None else points)
    return Placed(config=config.resolved(), points=chosen, placement=placement)


def _default_placement(point: Point) -> Placement:
    return "between" if point == "block" else "all"
