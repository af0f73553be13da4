"""Several mixers in a row, at one point."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.mixers.base import Mixer, Projection
from latentwave.mixers.registry import MixerConfig, build_mixer, register_mixer
from latentwave.mixers.state import MixerState

_MAX_MIXERS = 64
_DEFAULT = ({"kind": "wavelet"}, {"kind": "short_conv"})


@register_mixer("chain")
class ChainMixer(Mixer):
    """Several mixers in a row: each reads the output of the previous one.

        y = mix_N( … mix_2( mix_1(x) ) … )

    Attributes:
        mixers: the modules in order.

    Args:
        channels, context_length: D and L.
        mixers: kind and options of each, {"kind": "wavelet", "options": {"fraction": 0.5}};
            options may be left out, and chains nested. Default: `wavelet`, whose averages reach
            far, then `short_conv`, which learns the near past.

    Raises:
        UserError: for an entry without a kind, or an unknown kind or option.
        ValueError: for an empty list, and for an invalid option value.

    Causality: y(t) reads x(t − receptive_field + 1 … t), if all of them are causal.

    Example:
        >>> mixer = ChainMixer(8, 16, mixers=[{"kind": "moving_average"}, {"kind": "short_conv"}])
        >>> mixer.receptive_field
        7
    """

    def __init__(
        self, channels: int, context_length: int, *, mixers: Sequence[Mapping[str, Any]] = _DEFAULT
    ) -> None:
        super().__init__(channels, context_length)
        self.mixers = nn.ModuleList(
            build_mixer(each, channels=channels, context_length=context_length)
            for each in _configs(mixers)
        )
        self.causal = all(mixer.causal for mixer in self._each())
        self.starts_as_identity = all(
            mixer.starts_as_identity or mixer.fade_gate is not None for mixer in self._each()
        )
        # Exact for filters of gain 1: what is beyond the sum is beyond one of them.
        self.tail_share = sum(mixer.tail_share for mixer in self._each())

    @classmethod
    def check_point(cls, point: str, options: Mapping[str, Any]) -> None:
        """Refuse a point that one of the mixers refuses."""
        for config in _configs(options.get("mixers", _DEFAULT)):
            config.check_point(point)

    @classmethod
    def options_at(
        cls, projection: Projection, options: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The mixers that apply to the projection, each with its own options there."""
        configs = [c.at_projection(projection) for c in _configs(options.get("mixers", _DEFAULT))]
        placed = [{"kind": c.kind, "options": c.options} for c in configs if c is not None]
        return {**options, "mixers": placed} if placed else None

    @classmethod
    def resolved_options(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options with presets among the mixers replaced; other entries stay as they are."""
        given = options.get("mixers", _DEFAULT)
        configs = _configs(given)
        entries = list(given)
        for index, config in enumerate(configs):
            if (found := config.resolved()) is not config:
                entries[index] = {"kind": found.kind, "options": dict(found.options)}
        return options if entries == list(given) else {**options, "mixers": entries}

    @property
    def receptive_field(self) -> int:
        """One token, plus the past tokens that each mixer reads."""
        return 1 + sum(mixer.receptive_field - 1 for mixer in self._each())

    def flops(self, num_tokens: int) -> int:
        """The sum over the mixers, including their gates."""
        return sum(mixer.flops(num_tokens) + mixer.fade_flops(num_tokens) for mixer in self._each())

    @property
    def mixed_range(self) -> tuple[int, int]:
        """The smallest range that covers the channels of all mixers."""
        starts, stops = zip(*(mixer.mixed_range for mixer in self._each()), strict=True)
        return min(starts), max(stops)

    def reset_parameters(self) -> None:
        """Reset every mixer."""
        super().reset_parameters()
        for mixer in self._each():
            mixer.reset_parameters()

    def _runs(self, state: MixerState | None, segment_ids: Tensor | None) -> Tensor | None:
        return segment_ids  # each mixer keeps the ids of its own history

    def _each(self) -> list[Mixer]:
        return [mixer for mixer in self.mixers if isinstance(mixer, Mixer)]

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        # Each mixer zeroes padded tokens again, because the previous one may have filled them.
        for position, mixer in enumerate(self.mixers):
            x = mixer(
                x,
                state=None if state is None else state.part(str(position)),
                segment_ids=runs,
                padding_mask=padding_mask,
            )
        return x


def _configs(mixers: Any) -> list[MixerConfig]:
    if not isinstance(mixers, Sequence) or isinstance(mixers, str) or len(mixers) == 0:
        raise ValueError(
            'mixers must be a list of at least one mixer, such as [{"kind": "wavelet"}], got '
            f"{mixers!r}"
        )
    if _count(mixers) > _MAX_MIXERS:
        raise ValueError(f"a chain can have at most {_MAX_MIXERS} mixers, including nested chains")
    return [_config(each) for each in mixers]


def _count(mixers: Sequence[Any]) -> int:
    """The number of mixers, nested chains included; stops counting when there are too many."""
    pending, count = list(mixers), 0
    while pending and count <= _MAX_MIXERS:
        entry, count = pending.pop(), count + 1
        options = entry.get("options") if isinstance(entry, Mapping) else None
        inner = options.get("mixers") if isinstance(options, Mapping) else None
        pending += inner if isinstance(inner, list | tuple) else []
    return count


def _config(entry: Any) -> MixerConfig:
    if not isinstance(entry, Mapping) or "kind" not in entry or set(entry) - {"kind", "options"}:
        raise UserError(
            'a mixer in a chain must be {"kind": …, "options": {…}}, where options are optional, '
            f"got {entry!r}"
        )
    options = entry.get("options")
    return MixerConfig(kind=entry["kind"], options={} if options is None else options)
