"""Recipes: complete, typed configurations of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import with_config

from latentwave.bench.data import CorpusConfig
from latentwave.bench.data.checks import check_name, check_seeds, check_values, number
from latentwave.bench.data.json_files import validated
from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.files import STRICT
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError

T = TypeVar("T")
_LONGEST_RECIPE_BYTES = 1 << 20
_MOST_NODES = 20_000  # of a recipe, anchors written out


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """The search for each contestant's learning rate, the same for all.

    Every contestant is trained with every rate and every seed, and keeps the rate whose worst seed
    ends lowest: one that fails with some seeds is of no use.

    Attributes:
        learning_rates: the grid, ascending; empty: no search.
        seeds: of these runs; none of the recipe's, so that the comparison does not reward a rate
            for the luck it had. A rate that is too high for some seeds only needs several to show.
        num_steps: of these runs; null for the recipe's.
        widen: how many rates to try beyond the grid, for each contestant whose best one so far is
            at an end of it, in the grid's own steps.
    """

    learning_rates: list[float] = dataclasses.field(default_factory=list)
    seeds: list[int] = dataclasses.field(default_factory=lambda: [1000])
    num_steps: int | None = number(None, 1)
    widen: int = number(0, 0)

    def __post_init__(self) -> None:
        check_values(self, "tuning")
        rates = self.learning_rates
        if rates != sorted(set(rates)) or (rates and rates[0] <= 0):
            raise UserError(f"tuning.learning_rates must be > 0 and ascending, got {rates}")
        if len(rates) == 1:
            raise UserError(f"tuning.learning_rates must be several or none, got {rates}")
        if self.widen and not rates:
            raise UserError(f"tuning.widen={self.widen} widens no grid: set tuning.learning_rates")
        check_seeds("tuning.seeds", self.seeds)


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A complete experiment: one backbone on one corpus, with and without mixers.

    Attributes:
        name: of the recipe.
        task: "language-model", "classification", or null: classification where documents have
            labels.
        corpus: what is read.
        backbone: what is trained.
        contestants: what is compared, by name; the plain backbone is called "none".
        training: how.
        seeds: one run of every contestant for each; initial backbone weights and batches depend
            on the seed alone.
        budget: what every contestant spends as much of as its baseline does in num_steps:
            "tokens", "flops" or "seconds" of training.
        tuning: a search for each contestant's learning rate.
        longer_contexts: context lengths beyond that of training, at which the finished language
            models are evaluated too.
    """

    name: str
    task: Literal["language-model", "classification"] | None = None
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig)
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    contestants: dict[str, ContestantConfig]
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0])
    budget: Literal["tokens", "flops", "seconds"] = "tokens"
    tuning: TuningConfig = dataclasses.field(default_factory=TuningConfig)
    longer_contexts: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        check_values(self)
        check_name("name", self.name)
        check_seeds("seeds", self.seeds)
        if self.tuning.learning_rates and set(self.tuning.seeds) & set(self.seeds):
            raise UserError(
                f"tuning.seeds {self.tuning.seeds} must not be among the seeds {self.seeds}"
            )
        for name in self.contestants:
            check_name("contestant", name)
        for contestant in self.contestants.values():
            dataclasses.replace(self.backbone, **contestant.backbone)
            contestant.settings_on(self.training)
        every, tuned = self.training.evaluate_every_steps, self.tuning.num_steps
        if tuned is not None and tuned % every:
            raise UserError(
                f"tuning.num_steps={tuned} must be a multiple of "
                f"training.evaluate_every_steps={every}"
            )

    def as_seen_by(self, name: str) -> Recipe:
        """The recipe with the backbone and the training of one contestant."""
        if name not in self.contestants:
            raise UserError(
                f"the recipe has no contestant {name!r}, only {', '.join(self.contestants)}"
            )
        contestant = self.contestants[name]
        return dataclasses.replace(
            self,
            backbone=dataclasses.replace(self.backbone, **contestant.backbone),
            training=contestant.settings_on(self.training),
            contestants={
                name: dataclasses.replace(
                    contestant, backbone={}, learning_rate=None, num_steps=None
                )
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return dataclasses.asdict(self)


def recipe_from_dict(values: Mapping[str, Any], source: str = "the recipe") -> Recipe:
    """The inverse of `Recipe.to_dict`; see `config_from_dict`."""
    return config_from_dict(Recipe, values, source)


def config_from_dict(schema: type[T], values: Mapping[str, Any], source: str) -> T:
    """Nested plain values as a configuration; `source` is named in errors.

    Raises:
        UserError: for a key that does not exist, one that is missing, or a value out of range.
    """
    try:
        config: T = validated(values, schema)
    except ValueError as error:
        fault = str(error)
        *_, ours = fault.partition("Value error, ")
        raise UserError(ours or f"{source} does not fit: {fault}") from error
    return config


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file."""
    return recipe_from_dict(read_recipe_file(Path(path)), str(path))


def read_recipe_file(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: if the file is missing, no YAML in UTF-8, or unreasonably large.
    """
    if not path.is_file():
        raise UserError(
            f"there is no recipe {path}" + (": it is not a regular file" if path.exists() else "")
        )
    if path.stat().st_size > _LONGEST_RECIPE_BYTES:
        raise UserError(f"{path} is too long for a recipe: {path.stat().st_size:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        if root is not None and _num_nodes(root, {}) > _MOST_NODES:
            raise UserError(f"{path} is too large for a recipe once its anchors are written out")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError) as error:  # deeply nested; a date that does not exist
        raise UserError(f"{path} is not a recipe: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no recipe: expected keys and values")
    contestants = values.get("contestants")
    for name, value in contestants.items() if isinstance(contestants, dict) else ():
        if value is None:
            raise UserError(
                f"{path}: contestants.{name} is empty: write {name}: {{}} for the plain backbone"
            )
    return values


def _num_nodes(node: yaml.Node, counted: dict[int, int]) -> int:
    """Values below a node, those behind anchors as often as they are named.

    A key that stands twice is refused: of two contestants of one name the first would be dropped.
    """
    if id(node) not in counted:
        counted[id(node)] = _MOST_NODES + 1  # of a node that holds itself
        keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if twice := [key for key in keys if keys.count(key) > 1]:
            where = f"lines {node.start_mark.line + 1} to {node.end_mark.line + 1}"
            raise yaml.YAMLError(f"the key {twice[0]!r} stands twice in the map of {where}")
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = (
            each for child in children for each in (child if isinstance(child, tuple) else (child,))
        )
        counted[id(node)] = 1 + sum(_num_nodes(each, counted) for each in flat)
    return counted[id(node)]
