"""Searches for the best settings of the plain decoder, one group at a time."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import with_config
from rich.console import Console

from latentwave.bench.comparison.workers import Job, Workers
from latentwave.bench.data import TokenStore
from latentwave.bench.data.checks import check_seeds, check_values, number
from latentwave.bench.training import (
    BASELINE,
    ContestantConfig,
    Recipe,
    TrainingConfig,
    describe_environment,
    read_recipe_file,
    read_result,
)
from latentwave.bench.training.files import STRICT, write_json
from latentwave.bench.training.progress import ERR
from latentwave.bench.training.recipe import config_from_dict
from latentwave.errors import UserError

SEARCH = "search.json"
Setting = dict[str, Any]


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchRecipe:
    """A coordinate search over the settings of a recipe.

    A group is a list of grids, lists of values by their place in the recipe such as
    {"training.learning_rate": [4e-3, 8e-3]}; all combinations in each grid are tried on top of the
    best setting so far. Another training.batch_size keeps the number of tokens.
    """

    base: Recipe  # whose plain backbone is trained
    groups: list[list[dict[str, list[Any]]]]  # searched one after the other
    seeds: list[int] = dataclasses.field(default_factory=lambda: [1000])  # of every setting
    finalists: int = number(3, 1)  # how many of the best settings are trained again
    final_seeds: list[int] = dataclasses.field(default_factory=lambda: [1001, 1002, 1003])

    def __post_init__(self) -> None:
        check_values(self)
        check_seeds("seeds", self.seeds)
        check_seeds("final_seeds", self.final_seeds)
        if both := set(self.seeds) & set(self.final_seeds):
            raise UserError(
                f"final_seeds must not be among seeds, got {sorted(both)} in both: the runs that "
                "chose the finalists would also rank them"
            )
        for index, group in enumerate(self.groups):
            if not group or not all(grid and all(grid.values()) for grid in group):
                raise UserError(
                    f"groups[{index}] must be a list of grids, such as "
                    f"{{training.learning_rate: [4.0e-3, 8.0e-3]}}, got {group}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tried:
    """One setting and how it ended."""

    setting: Setting  # changes to the base: values by their place
    losses: dict[str, float | None]  # final, by seed, nats per token; None where a run diverged

    @property
    def loss(self) -> float:
        """The mean; infinite if a seed diverged."""
        values = [math.inf if value is None else value for value in self.losses.values()]
        return sum(values) / len(values)


def load_search(path: str | Path) -> SearchRecipe:
    """Read a search from a YAML file: a recipe with the keys of `SearchRecipe` besides."""
    base = read_recipe_file(Path(path), "search")
    base.setdefault("contestants", {BASELINE: {}})
    keys = SearchRecipe.__dataclass_fields__.keys() - {"base"}
    search = {key: base.pop(key) for key in keys & base.keys()}
    if not search.get("groups"):
        raise UserError(f"{path} has no groups of settings to search")
    return config_from_dict(SearchRecipe, search | {"base": base}, str(path))


def applied(base: Recipe, setting: Mapping[str, Any]) -> Recipe:
    """A recipe with the values of a setting."""
    changes: dict[str, dict[str, Any]] = {"training": {}, "backbone": {}}
    for place, value in setting.items():
        group, _, name = place.partition(".")
        if group not in changes or name not in vars(getattr(base, group)):
            raise UserError(f"there is no {place!r} to search: use training.… or backbone.…")
        if name in ("num_steps", "context_length"):
            raise UserError(f"{place} cannot be searched: losses at another {name} do not compare")
        changes[group][name] = value
    training = changes["training"]
    if "batch_size" in training:
        size = TrainingConfig(batch_size=training["batch_size"]).batch_size  # refuses 0
        ratio = base.training.batch_size / size
        for name in ("num_steps", "num_warmup_steps"):
            before = getattr(base.training, name)
            training.setdefault(name, max(min(before, 1), round(before * ratio)))
    steps = training.get("num_steps", base.training.num_steps)
    fixed = {"evaluate_every_steps": steps, "save_every_steps": steps}
    fixed |= {"tensorboard": False, "snapshots": False}
    for name in fixed.keys() & training.keys():
        raise UserError(f"training.{name} cannot be searched: the search sets it itself")
    return dataclasses.replace(
        base,
        training=dataclasses.replace(base.training, **training, **fixed),
        backbone=dataclasses.replace(base.backbone, **changes["backbone"]),
        contestants={BASELINE: ContestantConfig()},
    )


def run_search(
    search: SearchRecipe,
    store: TokenStore,
    folder: Path,
    *,
    workers: Workers | None = None,
    console: Console | None = None,
) -> list[Tried]:
    """Try all groups, then train the finalists with further seeds.

    Writes search.json after every group, and again with the finalists at the end. Finished runs
    are reused, so an interrupted search continues. Returns the finalists, the best first.
    """
    console = console or ERR
    workers = workers or Workers()

    def train(settings: Sequence[Setting], seeds: Sequence[int]) -> dict[str, Tried]:
        trained = {_folder_name(each): Tried(setting=each, losses={}) for each in settings}
        jobs = [
            Job(
                recipe=applied(search.base, each.setting),
                contestant=BASELINE,
                seed=seed,
                folder=folder / name / f"seed{seed}",
            )
            for (name, each), seed in itertools.product(trained.items(), seeds)
        ]
        workers.run(jobs, store, console)
        for job in jobs:
            loss = read_result(job.folder).final_loss
            losses = trained[job.folder.parent.name].losses
            losses[str(job.seed)] = loss if math.isfinite(loss) else None
        return trained

    for setting in itertools.chain(*map(combinations, search.groups)):
        applied(search.base, setting)  # mistakes show now, not in hours
    tried: dict[str, Tried] = {}

    def write(finalists: list[Tried]) -> None:
        values = {
            "base": search.base.to_dict(),
            "groups": search.groups,
            "tried": [dataclasses.asdict(each) for each in _ranked(tried)],
            "finalists": [dataclasses.asdict(each) for each in finalists],
            "environment": describe_environment(),
        }
        write_json(folder / SEARCH, values)

    best: Setting = {}
    for index, group in enumerate(search.groups):
        trained = train([best | each for each in combinations(group)], search.seeds)
        tried |= trained
        write([])
        leader = _ranked(tried)[0]
        if not math.isfinite(leader.loss):
            raise UserError(f"everything diverged in group {index} of the search: {group}")
        best = leader.setting
        for each in _ranked(trained):
            console.print(f"group {index}: {each.loss:.4f} {each.setting}", soft_wrap=True)
    chosen = [each.setting for each in _ranked(tried)[: search.finalists]]
    ranking = _ranked(train(chosen, search.final_seeds))
    write(ranking)
    for each in ranking:
        console.print(f"finalist: {each.loss:.4f} {each.setting}", soft_wrap=True)
    return ranking


def combinations(group: Sequence[Mapping[str, Sequence[Any]]]) -> list[Setting]:
    """All settings of a group: the combinations of values in each of its grids."""
    return [
        dict(zip(grid, values, strict=True))
        for grid in group
        for values in itertools.product(*grid.values())
    ]


def _ranked(tried: Mapping[str, Tried]) -> list[Tried]:
    """The best first."""
    return sorted(tried.values(), key=lambda each: each.loss)


def _folder_name(setting: Setting) -> str:
    parts = [f"{place.rpartition('.')[2]}-{json.dumps(value)}" for place, value in setting.items()]
    return "".join(c if c.isalnum() or c in "._-+" else "" for c in "+".join(parts)) or "base"
