"""The recipe of a ladder: sizes × budgets × contestants × seeds, on one or several settings."""

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

# The training settings that a ladder decides itself.
OF_THE_LADDER = {
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
    """One model size."""

    # changes to the ladder's backbone, such as {hidden_size: 128}
    backbone: dict[str, Any] = dataclasses.field(default_factory=dict)
    # changes to the ladder's training, such as {batch_size: 32}
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0])
    budgets: list[float] | None = None  # in tokens per parameter; null: the ladder's
    contestants: list[str] | None = None  # trained at this size; null: all
    settings: list[str] | None = None  # that this size is trained on; null: all
    # changes to contestants' backbones, such as {wider: {intermediate_size: 400}}
    overrides: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingConfig:
    """One way to train, the same for all contestants."""

    # changes to the ladder's backbone, such as {tie_embeddings: false}
    backbone: dict[str, Any] = dataclasses.field(default_factory=dict)
    # changes to the ladder's training, such as {optimizer: adamw}
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    contestants: list[str] | None = None  # trained on this setting; null: all


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateSearchConfig:
    """The search for learning rates, separate for each contestant, setting and size."""

    # of all learning rates of the training, ascending; a single one: no search
    factors: list[float] = dataclasses.field(default_factory=lambda: [1.0])
    # of every run of the search, in tokens per parameter: one rate for all budgets; null: a search
    # at each budget, in trunks with branches
    budget: float | None = number(None, above=0)
    seed: int = 1000  # of the search's runs; none of the ladder's seeds
    # how many factors to try beyond the grid while the best one is at an end, in the grid's steps
    widen: int = number(0, 0)
    # where rates are searched for; null: everywhere. Other sizes take the factor of the next
    # smaller size with a search.
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
    # of all runs; the ladder itself sets schedule, steps, evaluations and checkpoints
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    contestants: dict[str, ContestantConfig]  # by name; the plain backbone is called "none"
    sizes: dict[str, SizeConfig]  # smallest first
    budgets: list[float]  # ends of training, in tokens per parameter of the plain backbone
    # by name; the first one is the headline's
    settings: dict[str, SettingConfig] = dataclasses.field(
        default_factory=lambda: {"strong": SettingConfig()}
    )
    search: RateSearchConfig = dataclasses.field(default_factory=RateSearchConfig)
    controls: list[str] = dataclasses.field(default_factory=list)  # that a default has to beat

    def __post_init__(self) -> None:
        check_name("name", self.name)
        examples = {"sizes": "0.2M", "settings": "strong", "contestants": BASELINE}
        for group, example in examples.items():
            if not getattr(self, group):
                raise UserError(f"{group} must have at least one entry, such as {example}: {{}}")
            for name in getattr(self, group):
                check_name(group, name)
        _check_budgets("budgets", self.budgets)
        budgets = self.budgets_of(next(iter(self.sizes)))
        if len(self.sizes) == 1 and len(budgets) < ONE_SIZE:
            raise UserError(
                f"a ladder of one size needs at least {ONE_SIZE} budgets for its law, got {budgets}"
            )
        _check_known("controls", self.controls or None, self.contestants)
        for name, size in self.sizes.items():
            check_seeds(f"sizes.{name}.seeds", size.seeds)
            _check_budgets(f"sizes.{name}.budgets", self.budgets_of(name))
            _check_known(f"sizes.{name}.settings", size.settings, self.settings)
            _check_known(f"sizes.{name}.overrides", size.overrides, self.contestants)
            if BASELINE in size.overrides:
                raise UserError(
                    f"sizes.{name}.overrides must not change {BASELINE!r}, the plain backbone that "
                    f"budgets are counted from, got {size.overrides[BASELINE]}: change the size"
                )
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
        """Refuse contestants that are trained in their own way."""
        plain = ContestantConfig()
        if self.contestants.get(BASELINE) != plain:
            raise UserError(
                f"a ladder needs the plain backbone as contestant {BASELINE!r}: {{}}, the recipe "
                f"has {', '.join(self.contestants)}"
            )
        for name, contestant in self.contestants.items():
            for key in ("learning_rate", "num_steps", "baseline"):
                value = getattr(contestant, key)
                if value != getattr(plain, key):
                    raise UserError(
                        f"contestants.{name}.{key} has no place in a ladder, got {value!r}: rates "
                        "are searched for each contestant, budgets set the steps, and all are "
                        f"measured against {BASELINE!r}"
                    )

    def _check_changes(self) -> None:
        """Refuse sizes and settings that change what the ladder sets, or the same value twice."""
        settings = {f"settings.{name}": each for name, each in self.settings.items()}
        sizes = {f"sizes.{name}": each for name, each in self.sizes.items()}
        default = vars(TrainingConfig())
        changed = {key: each for key, each in vars(self.training).items() if each != default[key]}
        trainings = {"training": changed}
        for place, change in (settings | sizes).items():
            _check_known(f"{place}.contestants", change.contestants, self.contestants)
            if change.contestants is not None and BASELINE not in change.contestants:
                raise UserError(
                    f"{place}.contestants must hold {BASELINE!r}, the plain backbone that all are "
                    f"measured against, got {change.contestants}"
                )
            trainings[f"{place}.training"] = change.training
        for place, values in trainings.items():
            for key in OF_THE_LADDER & values.keys():
                raise UserError(
                    f"{place}.{key} is set by the ladder itself, got {values[key]!r}: leave it out"
                )
        for setting, size in itertools.product(settings, sizes):
            for group in ("training", "backbone"):
                for key in getattr(settings[setting], group).keys() & getattr(sizes[size], group):
                    raise UserError(
                        f"{group}.{key} is set by {setting} and by {size}: keep one of them"
                    )

    def budgets_of(self, size: str) -> list[float]:
        """Budgets of a size, in tokens per parameter."""
        budgets = self.sizes[size].budgets
        return self.budgets if budgets is None else budgets

    def settings_of(self, size: str) -> list[str]:
        """Settings that a size is trained on, in the recipe's order."""
        chosen = self.sizes[size].settings
        return [name for name in self.settings if chosen is None or name in chosen]

    def cells(self) -> list[Cell]:
        """Everything that is trained, in the recipe's order."""
        return [
            Cell(setting, size, name)
            for setting, size in itertools.product(self.settings, self.sizes)
            if setting in self.settings_of(size)
            for name in self.contestants
            if name in (self.sizes[size].contestants or self.contestants)
            if name in (self.settings[setting].contestants or self.contestants)
        ]

    def experiment(self, cell: Cell, *, factor: float = 1.0, **training: Any) -> Recipe:
        """The recipe of one contestant's runs, all its learning rates times a factor.

        Further keywords change the training.
        """
        setting, size = self.settings[cell.setting], self.sizes[cell.size]
        contestant = self.contestants[cell.contestant]
        changes = {**contestant.backbone, **size.overrides.get(cell.contestant, {})}
        try:
            backbone = dataclasses.replace(self.backbone, **(setting.backbone | size.backbone))
            base = dataclasses.replace(self.training, **(setting.training | size.training))
        except TypeError as error:
            raise UserError(
                f"setting {cell.setting!r} at size {cell.size!r} does not fit: {error}"
            ) from error
        muon = base.muon_learning_rate
        fixed: dict[str, Any] = {
            "learning_rate": base.learning_rate * factor,
            "muon_learning_rate": None if muon is None else muon * factor,
            "tensorboard": False,
            "snapshots": False,
        }
        return Recipe(
            name=self.name,
            corpus=self.corpus,
            backbone=backbone,
            training=dataclasses.replace(base, **(fixed | training)),
            contestants={cell.contestant: dataclasses.replace(contestant, backbone=changes)},
            seeds=size.seeds,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return dataclasses.asdict(self)


def load_ladder(path: str | Path) -> LadderRecipe:
    """Read the recipe of a ladder from a YAML file; raises `UserError` if it does not fit."""
    return config_from_dict(LadderRecipe, read_recipe_file(Path(path), "ladder"), str(path))


def _check_budgets(name: str, budgets: list[float]) -> None:
    ascending = budgets == sorted(set(budgets)) and all(map(math.isfinite, budgets))
    if not budgets or not ascending or budgets[0] <= 0:
        raise UserError(f"{name} must be finite, > 0 and ascending, got {budgets}")


def _check_known(name: str, chosen: Any, known: Mapping[str, Any]) -> None:
    if chosen == []:
        raise UserError(f"{name} is empty: leave it out for all of {', '.join(known)}")
    unknown = [each for each in chosen or () if each not in known]
    if unknown:
        raise UserError(f"{name} names {', '.join(unknown)}; there are {', '.join(known)}")
