"""What a ladder is: sizes × budgets × contestants × seeds, on one or several settings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import with_config

from latentwave.bench.data import CorpusConfig
from latentwave.bench.data.checks import check_name, check_seeds, check_values, number
from latentwave.bench.ladder.laws import ONE_SIZE
from latentwave.bench.training import (
    BASELINE,
    BackboneConfig,
    ContestantConfig,
    Recipe,
    TrainingConfig,
    read_recipe_file,
)
from latentwave.bench.training.files import STRICT
from latentwave.bench.training.recipe import config_from_dict
from latentwave.errors import UserError

# Of a training, what a ladder decides.
_OF_THE_LADDER = {
    *("num_steps", "schedule", "evaluate_every_steps", "save_every_steps", "save_at_steps"),
    *("tensorboard", "snapshots"),
}


class Cell(NamedTuple):
    """One contestant at one size of one setting."""

    setting: str
    size: str
    contestant: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeConfig:
    """One rung."""

    # what differs from the ladder's backbone, such as {hidden_size: 128}
    backbone: dict[str, Any] = dataclasses.field(default_factory=dict)
    # what differs from the ladder's training, such as {batch_size: 32}
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0])
    budgets: list[float] | None = None  # in tokens per parameter; null: the ladder's
    contestants: list[str] | None = None  # that are trained at this size; null: all
    settings: list[str] | None = None  # that this size is trained on; null: all
    # of contestants' backbones at this size, such as {wider: {intermediate_size: 400}}
    overrides: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingConfig:
    """One way to train, the same for all contestants."""

    # what differs from the ladder's backbone, such as {tie_embeddings: false}
    backbone: dict[str, Any] = dataclasses.field(default_factory=dict)
    # what differs from the ladder's training, such as {optimizer: adamw}
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    contestants: list[str] | None = None  # that are trained on this setting; null: all


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateSearchConfig:
    """The search for learning rates, for each contestant, setting and size on its own."""

    # of all learning rates of the training, ascending; one: no search
    factors: list[float] = dataclasses.field(default_factory=lambda: [1.0])
    # of a run of the search, in tokens per parameter: one rate for all budgets of the ladder; null:
    # a search at each of them, in trunks with branches like the others
    budget: float | None = number(None, above=0)
    seed: int = 1000  # of its runs, none of those of the ladder
    # how many factors to try beyond them, while the best one is at an end, in their own steps
    widen: int = number(0, 0)
    # where rates are searched; null: everywhere. Other sizes take the factor of the next smaller
    # size with a search.
    sizes: list[str] | None = None

    def __post_init__(self) -> None:
        check_values(self, "search")
        check_seeds("search.seed", [self.seed])
        factors = self.factors
        if not factors or factors != sorted(set(factors)) or factors[0] <= 0:
            raise UserError(f"search.factors must be > 0 and ascending, got {factors}")
        if self.widen and len(factors) < 2:
            raise UserError(
                f"search.widen={self.widen} widens no grid: search.factors {factors} must be "
                "several"
            )


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderRecipe:
    """A complete ladder."""

    name: str
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig)
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)  # of all sizes
    # of all runs; schedule, steps, evaluations and checkpoints are the ladder's own business
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    contestants: dict[str, ContestantConfig]  # by name; the plain backbone is called "none"
    sizes: dict[str, SizeConfig]  # the rungs, smallest first
    # ends of training, in tokens per parameter of the plain backbone, ascending
    budgets: list[float]
    # ways to train, by name; the first one is the headline's
    settings: dict[str, SettingConfig] = dataclasses.field(
        default_factory=lambda: {"strong": SettingConfig()}
    )
    search: RateSearchConfig = dataclasses.field(default_factory=RateSearchConfig)
    controls: list[str] = dataclasses.field(default_factory=list)  # that a default has to beat

    def __post_init__(self) -> None:
        check_name("name", self.name)
        for group in ("sizes", "contestants", "settings"):
            for name in getattr(self, group):
                check_name(group, name)
        if not self.sizes:
            raise UserError("a ladder needs at least one size, such as 0.2M: {}")
        only = self.budgets_of(next(iter(self.sizes)))
        if len(self.sizes) == 1 and len(only) < ONE_SIZE:
            raise UserError(
                f"a ladder of one size needs at least {ONE_SIZE} budgets for its law, got {only}"
            )
        _check_known("controls", self.controls or None, self.contestants)
        if not self.settings:
            raise UserError("a ladder needs at least one setting, such as strong: {}")
        _check_budgets("budgets", self.budgets)
        for name, size in self.sizes.items():
            check_seeds(f"sizes.{name}.seeds", size.seeds)
            _check_budgets(f"sizes.{name}.budgets", self.budgets_of(name))
            _check_known(f"sizes.{name}.overrides", size.overrides, self.contestants)
            if BASELINE in size.overrides:
                raise UserError(
                    f"sizes.{name}.overrides must not change {BASELINE!r}, the plain backbone that "
                    f"budgets are counted from, got {size.overrides[BASELINE]}: change the size"
                )
            _check_known(f"sizes.{name}.settings", size.settings, self.settings)
            if len(self.search.factors) > 1 and self.search.seed in size.seeds:
                raise UserError(
                    f"search.seed {self.search.seed} must not be among sizes.{name}.seeds "
                    f"{size.seeds}"
                )
        self._check_contestants()
        self._check_changes()
        _check_known("search.sizes", self.search.sizes, self.sizes)
        for cell in self.cells():
            self.experiment(cell)

    def _check_contestants(self) -> None:
        """A contestant cannot train in its own way: everything else is the same for all."""
        plain = ContestantConfig()
        if self.contestants.get(BASELINE) != plain:
            raise UserError(
                f"a ladder needs the plain backbone as contestant {BASELINE!r}: {{}}, the recipe "
                f"has {', '.join(self.contestants)}"
            )
        for name, own in self.contestants.items():
            for key in ("learning_rate", "num_steps", "baseline"):
                if getattr(own, key) != getattr(plain, key):
                    raise UserError(
                        f"contestants.{name}.{key} has no place in a ladder, got "
                        f"{getattr(own, key)!r}: rates are searched for each contestant, budgets "
                        f"set the steps, and all are measured against {BASELINE!r}"
                    )

    def _check_changes(self) -> None:
        """What settings and sizes change must be theirs to change, and changed once."""
        ways = {f"settings.{name}": way for name, way in self.settings.items()}
        rungs = {f"sizes.{name}": rung for name, rung in self.sizes.items()}
        own, plain = vars(self.training), vars(TrainingConfig())
        trainings = {"training": {key: own[key] for key in own if own[key] != plain[key]}}
        for place, each in (ways | rungs).items():
            _check_known(f"{place}.contestants", each.contestants, self.contestants)
            if each.contestants is not None and BASELINE not in each.contestants:
                raise UserError(
                    f"{place}.contestants must hold {BASELINE!r}, the plain backbone that all are "
                    f"measured against, got {each.contestants}"
                )
            trainings[f"{place}.training"] = each.training
        for place, given in trainings.items():
            for key in _OF_THE_LADDER & given.keys():
                raise UserError(
                    f"{place}.{key} is set by the ladder itself, got {given[key]!r}: leave it out"
                )
        for (place, way), (size, rung) in itertools.product(ways.items(), rungs.items()):
            for group in ("training", "backbone"):
                for key in getattr(way, group).keys() & getattr(rung, group).keys():
                    raise UserError(
                        f"{group}.{key} is set by {place} and by {size}: keep one of them"
                    )

    def budgets_of(self, size: str) -> list[float]:
        """Budgets of a size, in tokens per parameter."""
        own = self.sizes[size].budgets
        return self.budgets if own is None else own

    def settings_of(self, size: str) -> list[str]:
        """Settings that a size is trained on, in the recipe's order."""
        own = self.sizes[size].settings
        return [name for name in self.settings if own is None or name in own]

    def cells(self) -> list[Cell]:
        """All that is trained, in the recipe's order."""
        return [
            Cell(setting, size, contestant)
            for setting, own in self.settings.items()
            for size, rung in self.sizes.items()
            if setting in self.settings_of(size)
            for contestant in self.contestants
            if rung.contestants is None or contestant in rung.contestants
            if own.contestants is None or contestant in own.contestants
        ]

    def experiment(self, cell: Cell, *, factor: float = 1.0, **training: Any) -> Recipe:
        """The recipe of one contestant's runs, all its learning rates times a factor.

        Further keywords change the training.
        """
        way, rung = self.settings[cell.setting], self.sizes[cell.size]
        try:
            backbone = dataclasses.replace(self.backbone, **(way.backbone | rung.backbone))
            settings = dataclasses.replace(self.training, **(way.training | rung.training))
            own = self.contestants[cell.contestant]
            changes = {**own.backbone, **rung.overrides.get(cell.contestant, {})}
            own = dataclasses.replace(own, backbone=changes)
        except TypeError as error:
            raise UserError(
                f"setting {cell.setting!r} at size {cell.size!r} does not fit: {error}"
            ) from error
        muon = settings.muon_learning_rate
        fixed: dict[str, Any] = {
            "learning_rate": settings.learning_rate * factor,
            "muon_learning_rate": None if muon is None else muon * factor,
            "tensorboard": False,
            "snapshots": False,
        }
        return Recipe(
            name=self.name,
            corpus=self.corpus,
            backbone=backbone,
            training=dataclasses.replace(settings, **(fixed | training)),
            contestants={cell.contestant: own},
            seeds=rung.seeds,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return dataclasses.asdict(self)


def load_ladder(path: str | Path) -> LadderRecipe:
    """Read the recipe of a ladder from a YAML file; raises `UserError` if it does not fit."""
    return config_from_dict(LadderRecipe, read_recipe_file(Path(path)), str(path))


def _check_budgets(name: str, budgets: list[float]) -> None:
    rise = budgets == sorted(set(budgets)) and all(map(math.isfinite, budgets))
    if not budgets or not rise or budgets[0] <= 0:
        raise UserError(f"{name} must be finite, > 0 and rise, got {budgets}")


def _check_known(name: str, wanted: Any, known: Mapping[str, Any]) -> None:
    if wanted == []:
        raise UserError(f"{name} is empty: leave it out for all of {', '.join(known)}")
    unknown = [each for each in wanted or () if each not in known]
    if unknown:
        raise UserError(f"{name} names {', '.join(unknown)}; there are {', '.join(known)}")
