"""The configuration of a contestant: its mixers and its changes to the backbone."""

import dataclasses
from typing import Any

from latentwave.bench.data.checks import check_values, number
from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError
from latentwave.hub.placement import as_placed
from latentwave.mixers import MixerConfig, default_points

BASELINE = "none"
_BACKBONE_FIELDS = tuple(field.name for field in dataclasses.fields(BackboneConfig))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixerEntry:
    """One mixer of a contestant."""

    kind: str  # one of `latentwave.list_mixers()`, presets such as "best" included
    options: dict[str, Any] = dataclasses.field(default_factory=dict)  # of that mixer
    # where in a layer, see `latentwave.attach`: "block", "mlp" and so on; default: the kind's own
    points: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        check_values(self, "mixer")
        kind = self.config.kind
        if not self.points:
            object.__setattr__(self, "points", list(default_points(kind)))

    @property
    def config(self) -> MixerConfig:
        """Kind and options, checked."""
        return MixerConfig(kind=self.kind, options=self.options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContestantConfig:
    """What one contestant of a comparison adds to the backbone.

    Attributes:
        kind: of the mixer, as options and points see `MixerEntry`; null for the plain backbone.
        placement: "between" the decoder layers, after "all", or after the layers of a list; null:
            what `attach` takes for the points.
        backbone: changes to the recipe's backbone, such as {num_layers: 6}.
        mixers: several mixers instead of one kind, no two at one point.
        baseline: the contestant that this one is measured against.
        learning_rate: instead of the recipe's; a muon_learning_rate is scaled by the same factor.
        num_steps: instead of the recipe's, to match another budget than tokens.
    """

    kind: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    placement: str | list[int] | None = None
    points: list[str] = dataclasses.field(default_factory=list)
    backbone: dict[str, Any] = dataclasses.field(default_factory=dict)
    mixers: list[MixerEntry] = dataclasses.field(default_factory=list)
    baseline: str = BASELINE
    learning_rate: float | None = number(None, above=0)
    num_steps: int | None = number(None, 1)

    def __post_init__(self) -> None:
        check_values(self, "contestant")
        for name in self.backbone:
            if name not in _BACKBONE_FIELDS:
                raise UserError(
                    f"a contestant's backbone has no {name!r}, only {', '.join(_BACKBONE_FIELDS)}"
                )
        if "context_length" in self.backbone:
            raise UserError(
                "a contestant cannot have another context_length than the recipe, got "
                f"{self.backbone['context_length']}: losses at different contexts do not compare"
            )
        if self.mixers and (self.kind is not None or self.options or self.points):
            raise UserError("a contestant has kind, options and points, or mixers, not both")
        for name in ("options", "points"):
            if self.kind is None and getattr(self, name):
                raise UserError(f"{name} {list(getattr(self, name))} need a kind of mixer")
        if self.placement is not None and not self.placed:
            raise UserError(f"placement {self.placement!r} needs a kind of mixer, or mixers")
        if self.placed:
            as_placed([(each.config, each.points) for each in self.placed], {}, None, None)

    def settings_on(self, settings: TrainingConfig) -> TrainingConfig:
        """The contestant's training, made from the recipe's."""
        rate = self.learning_rate or settings.learning_rate
        muon = settings.muon_learning_rate
        return dataclasses.replace(
            settings,
            learning_rate=rate,
            muon_learning_rate=muon and muon * (rate / settings.learning_rate),
            num_steps=self.num_steps or settings.num_steps,
        )

    def describe_mixers(self) -> list[dict[str, Any]]:
        """The mixers, their presets resolved, as plain values for the record."""
        return [
            {
                "kind": (resolved := each.config.resolved()).kind,
                "options": dict(resolved.options),
                "placement": self.placement,
                "points": list(each.points),
            }
            for each in self.placed
        ]

    @property
    def placed(self) -> list[MixerEntry]:
        """All mixers with their points; empty for the plain backbone."""
        if self.kind is None:
            return self.mixers
        return [MixerEntry(kind=self.kind, options=self.options, points=self.points)]
