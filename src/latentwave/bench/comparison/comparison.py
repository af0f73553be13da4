"""Runs a comparison: trains all contestants and writes results.json."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from pydantic import PositiveInt
from rich.console import Console

from latentwave.bench.comparison import planning
from latentwave.bench.comparison.clock import Clock, read_measured, take_clock, write_measured
from latentwave.bench.comparison.cost import contestant_cost
from latentwave.bench.comparison.positions import check_longer_contexts, measure_longer_contexts
from latentwave.bench.comparison.results import RESULTS, ModelCost, Results, write_results
from latentwave.bench.comparison.summary import summarize
from latentwave.bench.comparison.workers import Workers
from latentwave.bench.data import TokenStore
from latentwave.bench.data.folders import PARTIAL
from latentwave.bench.data.json_files import read_json
from latentwave.bench.training import (
    Recipe,
    check_folder,
    describe_run,
    on_main,
    open_objective,
    read_result,
    settle_compilation,
    start_processes,
)
from latentwave.bench.training.files import RECORD, write_json
from latentwave.bench.training.optimizers import check_warmup
from latentwave.bench.training.processes import is_main, num_processes
from latentwave.bench.training.progress import ERR
from latentwave.bench.training.result import differences, read_record
from latentwave.errors import UserError

# The training settings that decide how long a step takes.
_TIMED = (
    *("batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "separate_documents"),
    *("optimizer", "precision", "compile"),
)
_BUDGET, _CLOCK, _TUNING = "budget.json", "clock.json", "tuning"


def compare(
    recipe: Recipe,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    workers: Workers | None = None,
    time_again: bool = False,
    command: str = "",
    console: Console | None = None,
) -> Results:
    """Train every contestant with every seed and write results.json.

    Runs are paired: contestants of one seed and one backbone start from the same weights and see
    the same batches. Each run has a folder, CONTESTANT-seedN; the search for learning rates has
    its own under tuning/. With `resume` finished runs are reused and interrupted ones continue, so
    contestants and seeds can be added to a finished comparison.

    `workers` says where runs are executed (default: one after the other in this process).
    `time_again` times the training steps again, if the machine was busy the first time. `command`
    is recorded as it was typed.

    Raises:
        UserError: if there is no baseline, the folder exists (without `resume`) or holds something
            else, and for what `train` refuses.
    """
    workers = workers or Workers()
    planning.check_baselines(recipe)
    check_longer_contexts(recipe, store)
    start_processes(recipe.training.timeout_seconds)
    if num_processes() > 1 and not workers.here:
        raise UserError(
            "under a launcher all processes train one model: leave out --jobs and --ray_address"
        )
    on_main(lambda: _check_folder(folder, resume))
    on_main(lambda: _check_runs(recipe, store, folder))
    console = console or ERR
    if is_main():
        count = len(recipe.contestants)
        console.print(f"counting costs of {count} contestants and timing their training steps …")
    # Build every contestant before the first one trains, so that mistakes show now, not in hours.
    costs = {
        name: contestant_cost(recipe.as_seen_by(name), name, store) for name in recipe.contestants
    }
    budget = on_main(lambda: _read_budget(recipe, folder))
    compiled = settle_compilation(recipe, store)
    clock = on_main(lambda: _clock(compiled, store, folder, time_again))
    planned = on_main(lambda: _with_budgets(compiled, store, costs, clock, budget, folder=folder))
    # Runs of the search may be shorter and are not timed, so they settle compilation themselves.
    search = dataclasses.replace(planned, training=recipe.training)
    jobs = planning.search_jobs(search, planning.searched_rates(planned), folder / _TUNING)
    # The search alone may take hours: refuse now what it or the runs after it would refuse.
    for job in [*jobs, *planning.comparison_jobs(planned, folder)]:
        check_warmup(job.recipe.as_seen_by(job.contestant).training)
    tried, losses = [], dict[str, dict[float, float]]()
    while jobs:
        workers.run(jobs, store, console)
        tried += jobs
        losses = planning.worst_losses(tried)
        rates = planning.rates_beyond(planned, losses)
        jobs = planning.search_jobs(search, rates, folder / _TUNING)
    planned, tuning = planning.choose_rates(planned, losses)
    runs = planning.comparison_jobs(planned, folder)
    workers.run(runs, store, console)
    folders = {
        name: [job.folder for job in runs if job.contestant == name] for name in recipe.contestants
    }
    results = summarize(
        recipe,
        {name: [read_result(path) for path in paths] for name, paths in folders.items()},
        planned=planned,
        store=store,
        costs=costs,
        clock=clock,
        tuning=tuning,
        contexts=on_main(lambda: measure_longer_contexts(recipe, store, folders)),
        command=command,
    )
    on_main(lambda: write_results(results, folder))
    return results


def _check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder of something else, and an existing comparison without `resume`."""
    if not folder.exists():
        return
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    if inside is not None and inside <= {_CLOCK + PARTIAL}:  # left by a killed process
        return
    runs = [*folder.glob(f"*-seed*/{RECORD}"), *folder.glob(f"{_TUNING}/*-seed*/{RECORD}")]
    if inside is None or not (runs or inside & {_CLOCK, _BUDGET, RESULTS}):
        raise UserError(
            f"{folder} exists and is not a comparison of latentwave: choose another --output"
        )
    if not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )


def _check_runs(recipe: Recipe, store: TokenStore, folder: Path) -> None:
    """Refuse runs of another recipe before anything in their folder is written again.

    Learning rates that are searched for, and steps that follow from costs, may be any here.
    """
    searched = planning.searched_rates(recipe)
    if recipe.budget == "tokens":
        recipe = planning.match_budget(recipe, dict.fromkeys(recipe.contestants, 1.0))
    for job in planning.comparison_jobs(recipe, folder):
        if not (job.folder / RECORD).is_file():
            continue
        record = describe_run(recipe, job.contestant, job.seed, store)
        chosen = ["learning_rate", "muon_learning_rate"] if job.contestant in searched else []
        if recipe.contestants[job.contestant].num_steps is None:
            chosen.append("num_steps")
        known = read_record(job.folder)["training"]
        record["training"] |= {key: known[key] for key in chosen}
        check_folder(job.folder, record)


def _clock(recipe: Recipe, store: TokenStore, folder: Path, again: bool) -> Clock | None:
    """How long steps take, read from the folder if timed before; None under a launcher."""
    if num_processes() > 1:
        return None
    recipes = {name: recipe.as_seen_by(name) for name in recipe.contestants}
    setting = {
        "contestants": {
            name: [dataclasses.asdict(each.backbone), each.contestants[name].describe_mixers()]
            for name, each in recipes.items()
        },
        "training": {name: getattr(recipe.training, name) for name in _TIMED},
    }
    clock: Clock | None = None if again else read_measured(folder / _CLOCK, setting, Clock)
    if clock is None or clock.step_seconds.keys() != recipes.keys():
        clock = take_clock(recipe, store)
        write_measured(folder / _CLOCK, setting, dataclasses.asdict(clock))
    return clock


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Budget:
    """budget.json: what was matched, and the number of steps that came out by contestant."""

    budget: str
    num_steps: int
    evaluate_every_steps: int
    steps: dict[str, PositiveInt] = dataclasses.field(default_factory=dict)


def _read_budget(recipe: Recipe, folder: Path) -> _Budget:
    """The steps that were matched before; refuses a recipe with another budget."""
    wanted = _Budget(
        budget=recipe.budget,
        num_steps=recipe.training.num_steps,
        evaluate_every_steps=recipe.training.evaluate_every_steps,
    )
    if not (folder / _BUDGET).exists():
        return wanted
    known = read_json(folder / _BUDGET, "remove it and go on with --resume", _Budget)
    wanted = dataclasses.replace(wanted, steps=known.steps)
    if known != wanted:
        changes = differences(vars(known), vars(wanted))
        raise UserError(
            f"{folder} holds a comparison with another budget{changes}: choose another --output, "
            "or resume with the recipe that started it"
        )
    return known


def _with_budgets(
    recipe: Recipe,
    store: TokenStore,
    costs: Mapping[str, ModelCost],
    clock: Clock | None,
    budget: _Budget,
    *,
    folder: Path,
) -> Recipe:
    """The recipe with num_steps for each contestant; a resumed comparison keeps its own."""
    if recipe.budget == "tokens":
        return planning.match_budget(recipe, dict.fromkeys(recipe.contestants, 1.0))
    if recipe.budget == "flops":
        cost = {
            name: each.flops_per_token
            * open_objective(recipe.as_seen_by(name), store).tokens_per_step
            for name, each in costs.items()
        }
    elif clock is not None:
        cost = {name: clock.seconds_per_step(name) for name in recipe.contestants}
    else:
        raise UserError(
            'budget "seconds" is measured on one process: run compare without a launcher'
        )
    contestants = {
        name: dataclasses.replace(each, num_steps=each.num_steps or budget.steps.get(name))
        for name, each in recipe.contestants.items()
    }
    matched = planning.match_budget(dataclasses.replace(recipe, contestants=contestants), cost)
    steps = {name: each.num_steps for name, each in matched.contestants.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _BUDGET, vars(budget) | {"steps": budget.steps | steps})
    return matched
