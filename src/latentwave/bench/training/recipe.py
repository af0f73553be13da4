"""Recipes, the complete configurations of experiments, and the YAML files that hold them."""

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
_MAX_BYTES = 1 << 20
_MAX_NODES = 20_000  # of a recipe, its anchors expanded
# Keys that only the recipes of one command have.
_KEYS_OF = {"ladder": {"sizes", "budgets"}, "search": {"groups", "finalists", "final_seeds"}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """The search for each contestant's learning rate, the same for all.

    Every contestant trains with every rate and seed, and keeps the rate whose worst seed ends
    lowest: a rate that fails with some seeds is of no use.

    Attributes:
        learning_rates: the grid, ascending; empty: no search.
        seeds: of the search, none of them the recipe's, so that no rate wins by luck. It takes
            several to reveal a rate that is too high for some.
        num_steps: of the search's runs; null for the recipe's.
        widen: how many rates to try beyond the grid, in its own steps, while a contestant's best
            rate is at an end of it.
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
        task: "language-model", "classification", or null: classification if the corpus has labels.
        corpus: the data.
        backbone: the model that every contestant starts from.
        contestants: by name; the plain backbone is called "none".
        training: how every contestant is trained.
        seeds: every contestant runs once with each; initial backbone weights and batches depend on
            the seed alone.
        budget: what every contestant gets as much of as its baseline spends in num_steps:
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
        every, steps = self.training.evaluate_every_steps, self.tuning.num_steps
        if steps is not None and steps % every:
            raise UserError(
                f"tuning.num_steps={steps} must be a multiple of "
                f"training.evaluate_every_steps={every}"
            )

    def as_seen_by(self, name: str) -> "Recipe":
        """The recipe with the backbone and the training of one contestant."""
        if name not in self.contestants:
            raise UserError(
                f"the recipe has no contestant {name!r}, only {', '.join(self.contestants)}"
            )
        contestant = self.contestants[name]
        plain = dataclasses.replace(contestant, backbone={}, learning_rate=None, num_steps=None)
        return dataclasses.replace(
            self,
            backbone=dataclasses.replace(self.backbone, **contestant.backbone),
            training=contestant.settings_on(self.training),
            contestants={name: plain},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return dataclasses.asdict(self)


def recipe_from_dict(values: Mapping[str, Any], source: str = "the recipe") -> Recipe:
    """The recipe that `Recipe.to_dict` turned into plain values; see `config_from_dict`."""
    return config_from_dict(Recipe, values, source)


def config_from_dict(schema: type[T], values: Mapping[str, Any], source: str) -> T:
    """Turn nested plain values into a configuration; errors name the `source`.

    Raises:
        UserError: for an unknown or missing key, or a value out of range.
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


def read_recipe_file(path: Path, command: str = "compare") -> dict[str, Any]:
    """Read the keys and values of a recipe's YAML file.

    Raises:
        UserError: if the file is missing, is not YAML in UTF-8, is unreasonably large, or is the
            recipe of another `command`: "compare", "ladder" or "search".
    """
    if not path.is_file():
        reason = ": it is not a regular file" if path.exists() else ""
        raise UserError(f"there is no recipe {path}{reason}")
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path} is too long for a recipe: {path.stat().st_size:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        if root is not None and _num_nodes(root, {}) > _MAX_NODES:
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
    right = next((each for each, keys in _KEYS_OF.items() if keys & values.keys()), "compare")
    if right != command:
        what = right.replace("compare", "comparison")
        raise UserError(f"{path} is the recipe of a {what}: use latentwave {right}")
    return values


def _num_nodes(node: yaml.Node, counted: dict[int, int]) -> int:
    """Count a node and all below it, those of an anchor once for every use.

    Repeated keys are refused: of two contestants of one name YAML would drop the first.
    """
    if id(node) not in counted:
        counted[id(node)] = _MAX_NODES + 1  # for a node that contains itself
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            if twice := [key for key in keys if keys.count(key) > 1]:
                where = f"lines {node.start_mark.line + 1} to {node.end_mark.line + 1}"
                raise yaml.YAMLError(
                    f"the key {twice[0]!r} appears twice in the mapping on {where}"
                )
            children = [each for pair in node.value for each in pair]
        counted[id(node)] = 1 + sum(_num_nodes(each, counted) for each in children)
    return counted[id(node)]
