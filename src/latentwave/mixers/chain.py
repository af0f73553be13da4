"""Several mixers at one place, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.mixers.base import Mixer
from latentwave.mixers.registry import MixerConfig, build_mixer, register_mixer
from latentwave.mixers.state import MixerState, PartState

_MOST = 64
_DEFAULT = ({"kind": "wavelet"}, {"kind": "short_conv"})


@register_mixer("chain")
class ChainMixer(Mixer):
    """Several mixers one after the other: each reads what the one before it gives.

        y = mix_N( … mix_2( mix_1(x) ) … )

    Attributes:
        mixers: the modules, first one first.

    Args:
        channels: D.
        context_length: L.
        mixers: for each its kind and options, {"kind": "wavelet", "options": {"fraction": 0.5}},
            options may be left out, and a chain may be one of them. Default: `wavelet`, whose
            averages see far, then `short_conv`, which learns what is near.

    Raises:
        UserError: for an entry that names no mixer, or an unknown kind or option.
        ValueError: for no mixers, and for a value that one of them refuses.

    Causality: y(t) reads x(t − receptive_field + 1 … t), if all of them are causal.

    Example:
        >>> mixer = ChainMixer(8, 16, mixers=[{"kind": "moving_average"}, {"kind": "short_conv"}])
        >>> mixer.receptive_field
        7
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        mixers: Sequence[Mapping[str, Any]] = _DEFAULT,
    ) -> None:
        super().__init__(channels, context_length)
        if not isinstance(mixers, Sequence) or isinstance(mixers, str) or len(mixers) == 0:
            raise ValueError(
                'mixers must be a list of at least one mixer, such as [{"kind": "wavelet"}], got '
                f"{mixers!r}"
            )
        _refuse_long(mixers)
        self.mixers = nn.ModuleList(
            build_mixer(_config(each), channels=channels, context_length=context_length)
            for each in mixers
        )
        self.causal = all(mixer.causal for mixer in self._each())
        # Exact for filters of gain 1: what lies beyond the sum lies beyond one of them.
        self.tail_share = sum(mixer.tail_share for mixer in self._each())

    @property
    def receptive_field(self) -> int:
        """Each mixer but the first adds what it reads beyond the current token."""
        return 1 + sum(mixer.receptive_field - 1 for mixer in self._each())

    def flops(self, num_tokens: int) -> int:
        """The mixers' operations, those of their gates included."""
        return sum(mixer.flops(num_tokens) + mixer.fade_flops(num_tokens) for mixer in self._each())

    @property
    def mixed_range(self) -> tuple[int, int]:
        """From the first channel that one of them mixes to the last."""
        starts, stops = zip(*(mixer.mixed_range for mixer in self._each()), strict=True)
        return min(starts), max(stops)

    def reset_parameters(self) -> None:
        """Those of each mixer."""
        super().reset_parameters()
        for mixer in self._each():
            mixer.reset_parameters()

    def _runs(self, state: MixerState | None, segment_ids: Tensor | None) -> Tensor | None:
        return segment_ids  # each mixer keeps the ids of its own history

    def _each(self) -> list[Mixer]:
        return [mixer for mixer in self.mixers if isinstance(mixer, Mixer)]

    def _mix(
        self,
        x: Tensor,
        state: MixerState | None,
        runs: Tensor | None,
        padding_mask: Tensor | None,
    ) -> Tensor:
        # Each zeroes the padded tokens again, which the one before may have filled.
        for position, mixer in enumerate(self.mixers):
            x = mixer(
                x,
                state=None if state is None else PartState(state, f"{position}."),
                segment_ids=runs,
                padding_mask=padding_mask,
            )
        return x


def _refuse_long(mixers: Sequence[Any]) -> None:
    """Count the mixers of a chain, those of chains inside it included, before any is built."""
    pending, found = list(mixers), 0
    while pending:
        entry, found = pending.pop(), found + 1
        if found > _MOST:
            raise ValueError(f"a chain has at most {_MOST} mixers, those of chains inside included")
        options = entry.get("options") if isinstance(entry, Mapping) else None
        inner = options.get("mixers") if isinstance(options, Mapping) else None
        pending += inner if isinstance(inner, list | tuple) else []


def _config(entry: Any) -> MixerConfig:
    if not isinstance(entry, Mapping) or "kind" not in entry or set(entry) - {"kind", "options"}:
        raise UserError(
            'a mixer of a chain is given as {"kind": …, "options": {…}}, options may be left '
            f"out; got {entry!r}"
        )
    return MixerConfig(kind=entry["kind"], options=entry.get("options") or {})
